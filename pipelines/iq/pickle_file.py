"""A RadioML 2016.10A pickle → arrays, with an unpickler that can build nothing but arrays of numbers.

Enters: a binary file. Leaves: a dict {(modulation, snr_db): float32 (examples, 2, samples)}, or `InvalidInput`. A
pickle is a program: whatever it asks for besides the ways in which numpy has its arrays pickled is refused before it
exists, and even those are played by stand-ins of this file, so that no code of numpy meets a hostile state.

Python's own unpickler in Python is used, not the one in C: there are few opcodes in so many bytes, each can be admitted
by name, and the one in C lets a few bytes claim all memory (a memo index of 2**30 takes 16 GB; found by fuzzing).
"""

import math
import pickle
import struct
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from storage.errors import InvalidInput, StorageError

IqArrays = dict[tuple[str, int], NDArray[np.float32]]

_KINDS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1"}
_MOST_DIMENSIONS = 8


def load_iq_pickle(file: BinaryIO) -> IqArrays:
    """Reads the whole file; Python 2's text is taken as Latin-1, as RadioML's must be.

    Raises:
        InvalidInput: it asks for anything but arrays, or is no pickle of RadioML's form.
        StorageError: `file` could not be read.
    """
    try:
        loaded = _ArraysOnly(file, encoding="latin1").load()
    except (InvalidInput, StorageError):
        raise
    except Exception as e:  # damaged pickles end in a dozen ways
        raise _refused(f"{type(e).__name__}: {' '.join(str(e).split())}") from e
    if not isinstance(loaded, _Pairs) or not loaded.items:
        raise _refused("a pickle of nothing" if isinstance(loaded, _Pairs) else f"a pickled {type(loaded).__name__}")
    return {key: _examples(key, value) for key, value in loaded.items.items()}


class _Pairs:
    """Stands in for the dict; a key is looked at before it is hashed, as hashing nested tuples could take for ever."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: dict[tuple[str, int], object] = {}

    def __setitem__(self, key: object, value: object) -> None:
        if not (isinstance(key, tuple) and len(key) == 2 and isinstance(key[0], str) and type(key[1]) is int):
            raise _refused(f"the key {_short(key)}")
        self.items[key] = value


def _examples(key: object, value: object) -> NDArray[np.float32]:
    values = value.values if isinstance(value, _Array) else None
    if values is None or values.ndim != 3 or values.shape[1] != 2 or values.dtype.kind != "f":
        what = type(value).__name__ if values is None else f"{values.dtype.name} of shape {values.shape}"
        raise _refused(f"under {_short(key)} {what}")
    return values.astype(np.float32, copy=False)


def _refused(given: str) -> InvalidInput:
    return InvalidInput(
        "data.root",
        given=given,
        allowed="a pickle of {(modulation, SNR): float array (examples, 2, samples)}, numpy arrays and nothing else",
        remedy="Fetch RML2016.10a_dict.pkl anew from its publisher.",
    )


def _short(value: object) -> str:
    # Of plain kinds only: the repr of nested tuples that share their parts could be endless.
    plain = isinstance(value, tuple) and all(isinstance(part, str | int) for part in value[:2])
    return repr(value[:2])[:80] if isinstance(value, tuple) and plain else type(value).__name__


_UnpicklerInPython: Any = pickle._Unpickler  # type: ignore[attr-defined]
_OPCODES = """
    PROTO FRAME MARK STOP EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 SETITEM SETITEMS NONE NEWTRUE NEWFALSE INT BININT
    BININT1 BININT2 LONG LONG1 STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES
    SHORT_BINBYTES BINBYTES8 GLOBAL STACK_GLOBAL REDUCE BUILD PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET MEMOIZE
""".split()


class _ArraysOnly(_UnpicklerInPython):
    dispatch: ClassVar[dict[int, Any]] = {
        getattr(pickle, name)[0]: _UnpicklerInPython.dispatch[getattr(pickle, name)[0]] for name in _OPCODES
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise _refused(f"a pickle that asks for {module}.{name}")
        return _ADMITTED[module, name]

    def load_empty_dict(self) -> None:
        self.append(_Pairs())

    def load_dict(self) -> None:
        pairs, flat = _Pairs(), self.pop_mark()
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            pairs[key] = value
        self.append(pairs)

    def load_bytearray8(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(length))  # Python's own would fill a bytearray of any length that is claimed

    dispatch[pickle.EMPTY_DICT[0]] = load_empty_dict
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


class _Array:
    """Stands in for an array until its state has come."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, raw = state
        self.values = _from_bytes(raw, dtype, shape, "F" if is_fortran else "C")


class _Dtype:
    """Stands in for a dtype; its state tells the byte order."""

    __slots__ = ("dtype",)

    def __init__(self, kind: str) -> None:
        self.dtype = np.dtype(kind)

    def __setstate__(self, state: Any) -> None:
        byte_order, described = state[1], state[2:5]
        if byte_order not in ("<", ">", "|", "=") or any(part is not None for part in described):
            raise _refused("a pickled dtype that is no plain number")
        self.dtype = self.dtype.newbyteorder(byte_order)


def _from_bytes(raw: object, dtype: object, shape: object, order: object) -> NDArray[Any]:
    if isinstance(raw, str):  # Python 2's string
        raw = raw.encode("latin1")
    sizes = list(shape) if isinstance(shape, tuple) and len(shape) <= _MOST_DIMENSIONS else [-1]
    sound = all(type(size) is int and size >= 0 for size in sizes) and order in ("C", "F")
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, _Dtype) or not sound:
        raise _refused("a pickled array of another kind than numbers")
    if math.prod(sizes) * dtype.dtype.itemsize != len(raw):
        raise _refused(f"a pickled array of shape {tuple(sizes)} with {len(raw)} bytes")
    values = np.frombuffer(raw, dtype=dtype.dtype).reshape(sizes, order="F" if order == "F" else "C")
    return values.astype(dtype.dtype.newbyteorder("="), copy=False)


# What a pickle may call. Instances without a __dict__, so that a pickle cannot set attributes on them either.


class _NdarrayType:
    __slots__ = ()


class _Reconstruct:
    """numpy.core.multiarray._reconstruct(ndarray, (0,), "b"): an empty array whose state comes next."""

    __slots__ = ()

    def __call__(self, kind: object, shape: object, typecode: object) -> _Array:
        if kind is not _NDARRAY:
            raise _refused("a pickled array of another class than numpy.ndarray")
        return _Array()


class _FromBuffer:
    """numpy's _frombuffer(bytes, dtype, shape, order), which protocol 5 writes."""

    __slots__ = ()

    def __call__(self, raw: object, dtype: object, shape: object, order: object) -> _Array:
        array = _Array()
        array.values = _from_bytes(raw, dtype, shape, order)
        return array


class _MakeDtype:
    """numpy.dtype("f4", align, copy)."""

    __slots__ = ()

    def __call__(self, kind: object, align: object = False, copy: object = False) -> _Dtype:
        if not isinstance(kind, str) or kind not in _KINDS:
            raise _refused("a pickled dtype that is no plain number")
        return _Dtype(kind)


class _Latin1:
    """_codecs.encode(text, "latin1"): how Python 3 writes bytes in protocols up to 2."""

    __slots__ = ()

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise _refused("a pickle that encodes something else than bytes")
        return text.encode("latin1")


_NDARRAY = _NdarrayType()
_ADMITTED: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _MakeDtype(),
    ("_codecs", "encode"): _Latin1(),
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer(),
    ("numpy._core.numeric", "_frombuffer"): _FromBuffer(),
}
