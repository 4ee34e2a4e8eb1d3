"""The restricted unpickler: arrays of every protocol come through, and nothing else ever comes into being."""

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radioml_files import python2_pickle, python3_pickle, tiny_2016

from pipelines.iq.pickle_file import load_iq_pickle
from storage.errors import InvalidInput, StorageError

ARRAYS = tiny_2016()
_MANY = {("QPSK", 0): np.zeros((1, 2, 128), dtype=np.float32)}


def _loaded(data: bytes) -> dict[tuple[str, int], Any]:
    return load_iq_pickle(io.BytesIO(data))


def _as_python_2_would(protocol: int) -> bytes:
    data = python2_pickle(ARRAYS, protocol=protocol)
    plain = pickle.loads(data, encoding="latin1")  # Python's own unpickler agrees that this is such a pickle
    assert all(np.array_equal(plain[key], array) for key, array in ARRAYS.items())
    return data


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_python_3_are_read(protocol: int) -> None:
    _assert_is_arrays(_loaded(python3_pickle(ARRAYS, protocol=protocol)))


@pytest.mark.parametrize("protocol", [0, 2])
def test_arrays_of_python_2_are_read_as_the_published_file_has_them(protocol: int) -> None:
    _assert_is_arrays(_loaded(_as_python_2_would(protocol)))


def test_other_byte_orders_and_orders_of_axes_give_the_same_numbers() -> None:
    array = ARRAYS["QPSK", 10]
    for written in (array.astype(">f4"), np.asfortranarray(array), array.astype(np.float64)):
        (read,) = _loaded(pickle.dumps({("QPSK", 10): written}, protocol=2)).values()
        np.testing.assert_array_equal(read, array)
        assert read.dtype == np.float32


class _Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


class _Subclass(np.ndarray):
    pass


def _hostile(touch: Path) -> dict[str, Any]:
    run = _Calls(os.system, f"touch {touch}")
    return {
        "at the top": run,
        "as a value": {**_MANY, ("BPSK", 0): run},
        "as a key": {(run, 0): _MANY["QPSK", 0]},
        "deep inside": {("QPSK", 0): [((run,),)]},
        "in an array of objects": {("QPSK", 0): np.array([run], dtype=object)},
        "by eval": _Calls(eval, f"__import__('os').system('touch {touch}')"),
        "by getattr": _Calls(getattr, np.ndarray, "tofile"),
        "by a codec of bytes": _Calls(np.load, str(touch)),
        "by another class of array": {("QPSK", 0): _MANY["QPSK", 0].view(_Subclass)},
        "by a numpy number": {("QPSK", np.int64(3)): _MANY["QPSK", 0]},
        "by a harmless class": OrderedDict(_MANY),
    }


@pytest.mark.parametrize("name", _hostile(Path("x")).keys())
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_asks_for_anything_else_is_refused_and_not_run(name: str, protocol: int, tmp_path: Path) -> None:
    touch = tmp_path / "was_run"
    data = pickle.dumps(_hostile(touch)[name], protocol=protocol)
    with pytest.raises(InvalidInput, match="numpy arrays and nothing else"):
        _loaded(data)
    assert not touch.exists()


def test_the_message_tells_what_was_asked_for() -> None:
    with pytest.raises(InvalidInput, match=r"data\.root: got 'a pickle that asks for \w+\.system'"):
        _loaded(pickle.dumps(_Calls(os.system, "true"), protocol=2))


@pytest.mark.parametrize(
    "program",
    [
        b"c__builtin__\neval\n.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.tofile\x93.",  # a dotted name behind an admitted module
        b"cnumpy\ndtype\n(S'O'\nI0\nI1\ntR.",
        b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR}S'dtype'\nS'O'\nsb.",  # a state that is no dtype's
        b"cnumpy\ndtype\n}S'x'\nI1\nsb.",  # attributes for what is admitted itself
        b"cnumpy\ndtype\n(NS'x'\nI1\ntb.",
        b"c_codecs\nencode\n(S'abc'\nS'zip'\ntR.",
        b"cnumpy\nndarray\n(I3\ntR.",
        b"Pid\n.",  # a persistent id
        b"\x82\x01.",  # an entry of copyreg's table
        b"(dI1\nI2\ns.",
        b"]q\x00.",  # a list, which no array needs
        b"Nr\xff\xff\xff\x7f.",  # a memo index that Python's unpickler in C would make room for
        b"\x80\x05\x96\x00\x00\x00\x00\xff\x00\x00\x00.",  # a bytearray of a terabyte
        b"\x80\x04)" + b"\x85h\x00\x86" * 3 + b".",
        b"}I0\n" + b"q\x00h\x00\x86" * 60 + b"Ns.",  # a key that takes for ever to hash
        b"N.",
        b"}.",
        b"",
        b"not a pickle at all",
        b"\x80\x02}(U\x01aJ\x00\x00\x00\x00\x86" + b"(" * 100 + b"u.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I99999999999\ntcnumpy\ndtype\n"
        b"(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'abcd'\ntb.",  # more than its bytes
    ],
)
def test_programs_written_by_hand_end_in_one_refusal(program: bytes) -> None:
    with pytest.raises(InvalidInput):
        _loaded(program)


def test_nothing_that_is_refused_leaves_a_trace_in_what_is_admitted() -> None:
    for program in (b"cnumpy\ndtype\n}S'x'\nI1\nsb.", b"cnumpy\ndtype\n(N}S'__call__'\nI1\nstb."):
        with pytest.raises(InvalidInput):
            _loaded(program)
    _assert_is_arrays(_loaded(python3_pickle(ARRAYS, protocol=2)))


@given(cut=st.integers(0, 10_000))
def test_a_pickle_that_was_cut_off_is_refused(cut: int) -> None:
    data = python2_pickle(ARRAYS, protocol=2)
    with pytest.raises(InvalidInput):
        _loaded(data[: cut % len(data)])


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@given(position=st.integers(0, 600), value=st.integers(0, 255))
def test_a_wrong_byte_gives_arrays_or_a_refusal_and_nothing_else(position: int, value: int) -> None:
    data = bytearray(python2_pickle(tiny_2016(1, 8), protocol=0))
    data[position % len(data)] = value
    try:
        arrays = _loaded(bytes(data))
    except InvalidInput:
        return
    assert all(type(array) is np.ndarray and array.dtype == np.float32 for array in arrays.values())


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {},
        {"QPSK": _MANY["QPSK", 0]},
        {("QPSK", "0"): _MANY["QPSK", 0]},
        {("QPSK", True): _MANY["QPSK", 0]},
        {("QPSK", 0): 1.0},
        {("QPSK", 0): np.zeros((2, 128), dtype=np.float32)},
        {("QPSK", 0): np.zeros((1, 3, 128), dtype=np.float32)},
        {("QPSK", 0): np.zeros((1, 2, 128), dtype=np.int32)},
    ],
)
def test_arrays_that_are_none_of_radioml_are_refused(content: Any) -> None:
    with pytest.raises(InvalidInput):
        _loaded(pickle.dumps(content))


def test_a_server_at_fault_is_no_damaged_pickle() -> None:
    class Lost(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise StorageError("the server is down")

    with pytest.raises(StorageError, match="the server is down"):
        load_iq_pickle(Lost())


def _assert_is_arrays(loaded: dict[tuple[str, int], Any]) -> None:
    assert loaded.keys() == ARRAYS.keys()
    for key, array in ARRAYS.items():
        assert type(loaded[key]) is np.ndarray
        assert loaded[key].dtype == np.float32
        np.testing.assert_array_equal(loaded[key], array)
