"""RadioML files of a few examples: pickles as Python 2 and Python 3 write them, and HDF5."""

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[tuple[str, int], NDArray[np.float32]]


def tiny_2016(num_examples: int = 3, num_samples: int = 128) -> dict[tuple[str, int], NDArray[np.float32]]:
    """Noise under four keys; every sample differs."""
    rng = np.random.default_rng(3)
    keys = [("QPSK", -2), ("QPSK", 10), ("AM-DSB", -2), ("AM-DSB", 10)]
    return {key: rng.standard_normal((num_examples, 2, num_samples)).astype(np.float32) for key in keys}


def write_2016(path: Path, arrays: Arrays) -> Path:
    path.write_bytes(python2_pickle(arrays, protocol=0))
    return path


def write_2018(path: Path, *, num_rows: int = 30, num_samples: int = 1024) -> Path:
    """Row r is of class r % 24 at (2 r − 20) dB."""
    rng, rows = np.random.default_rng(4), np.arange(num_rows)
    with h5py.File(path, "w") as file:
        file["X"] = rng.standard_normal((num_rows, num_samples, 2)).astype(np.float32)
        file["Y"] = np.eye(24, dtype=np.int64)[rows % 24]
        file["Z"] = (2 * rows - 20)[:, None]
    return path


def python2_pickle(arrays: Arrays, *, protocol: int) -> bytes:
    """As cPickle of Python 2 writes the dict; the published file has protocol 0, which the size of 641 MB tells."""
    items = [_item_0(*key, array) if protocol == 0 else _item_2(*key, array) for key, array in arrays.items()]
    return b"(d" + b"".join(items) + b"." if protocol == 0 else b"\x80\x02}(" + b"".join(items) + b"u."


def python3_pickle(arrays: Arrays, *, protocol: int) -> bytes:
    return pickle.dumps(dict(arrays), protocol=protocol)


def _item_0(modulation: str, snr_db: int, array: NDArray[np.float32]) -> bytes:
    sizes = b"".join(b"I%d\n" % size for size in array.shape)
    return (
        b"(S'%s'\nI%d\nt" % (modulation.encode(), snr_db)
        + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        + b"(I1\n("
        + sizes
        + b"tcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS"
        + repr(array.tobytes())[1:].encode()
        + b"\ntbs"
    )


def _item_2(modulation: str, snr_db: int, array: NDArray[np.float32]) -> bytes:
    raw, minus_one = array.tobytes(), struct.pack("<i", -1)
    sizes = b"".join(b"J" + struct.pack("<i", size) for size in array.shape)
    return (
        b"U%c%sJ%s\x86" % (len(modulation), modulation.encode(), struct.pack("<i", snr_db))
        + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01"
        + sizes
        + b"\x87cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ%sJ%sK\x00tb" % (minus_one, minus_one)
        + b"\x89T"
        + struct.pack("<i", len(raw))
        + raw
        + b"tb"
    )
