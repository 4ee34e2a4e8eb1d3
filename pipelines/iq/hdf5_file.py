"""RadioML 2018.01A's HDF5 file, read row by row. The only file that imports h5py.

Enters: a seekable binary file, wherever it lies. Leaves: IQ samples of one row, or classes and SNRs of all rows.
"""

import math
import os
import traceback
import weakref
from typing import BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from pipelines.decoding.encoded import WatchedFile
from storage.errors import InvalidInput

_MOST_CHUNK_BYTES = 1 << 28
_ROWS_PER_READ = 1 << 16  # Y has 192 bytes a row, 490 MB in all: never held at once


class IqHdf5:
    """X (rows, samples, 2), Y (rows, classes) one-hot, Z (rows, 1) the SNR in dB.

    Raises:
        InvalidInput: no HDF5 file, or one without these.
        StorageError: `file` could not be read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = WatchedFile(file)
        try:
            self._hdf5 = _open(self._file)
            weakref.finalize(self, self._hdf5.close)
            self._iq, self._one_hot, self._snr_db = (self._dataset(name) for name in ("X", "Y", "Z"))
        except (OSError, RuntimeError, ValueError, KeyError) as e:
            raise self._fault(e) from e
        self._check_was_read()
        self.num_rows, self.num_classes = len(self._iq), self._one_hot.shape[-1]
        shapes = {"X": self._iq.shape, "Y": self._one_hot.shape, "Z": self._snr_db.shape}
        expected = {"X": (self.num_rows, self._iq.shape[1], 2), "Y": (self.num_rows, self.num_classes)}
        if shapes != {**expected, "Z": (self.num_rows, 1)}:
            raise _refused(f"datasets of the shapes {shapes}")
        self.num_samples = self._iq.shape[1]
        self._refuse_false_sizes()

    def read(self, row: int) -> NDArray[np.complex64]:
        """complex64 (samples,) of one row.

        Raises:
            IndexError: there is no such row.
            OSError: the file is damaged there.
            StorageError: the file could not be read.
        """
        if row >= self.num_rows:
            raise IndexError(row)
        try:
            pairs = np.asarray(self._iq[row], dtype=np.float32)
        except (OSError, RuntimeError, ValueError) as e:
            raise self._file.fault or OSError(str(e)) from e
        self._check_was_read()
        return np.ascontiguousarray(pairs).view(np.complex64)[:, 0]

    def classes_and_snrs_db(self) -> tuple[NDArray[np.int8], NDArray[np.int16]]:
        """int8 and int16 (rows,): the class of every row, -1 where Y is not one-hot, and its SNR in dB.

        Raises:
            InvalidInput: the file is damaged.
            StorageError: it could not be read.
        """
        classes = np.empty(self.num_rows, dtype=np.int8)
        snrs_db = np.empty(self.num_rows, dtype=np.int16)
        try:
            for start in range(0, self.num_rows, _ROWS_PER_READ):
                rows = slice(start, start + _ROWS_PER_READ)
                one_hot = self._one_hot[rows]
                is_one_hot = ((one_hot == 0) | (one_hot == 1)).all(axis=1) & (one_hot.sum(axis=1) == 1)
                classes[rows] = np.where(is_one_hot, one_hot.argmax(axis=1), -1)
                snrs_db[rows] = self._snr_db[rows, 0]
        except (OSError, RuntimeError, ValueError) as e:
            raise self._fault(e) from e
        self._check_was_read()
        return classes, snrs_db

    def _refuse_false_sizes(self) -> None:
        """Rows that were never written cost a file nothing, and a chunk is unpacked whole for a single row of it."""
        size_bytes = self._file.seek(0, os.SEEK_END)
        self._check_was_read()
        num_values = self.num_rows * self.num_samples * 2
        if num_values > size_bytes:  # I and Q are noise in part: no packing makes less than a byte of a value
            raise _refused(f"{self.num_rows} rows of {self.num_samples} samples in {size_bytes} bytes")
        for dataset in (self._iq, self._one_hot, self._snr_db):
            chunk_bytes = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
            if chunk_bytes > _MOST_CHUNK_BYTES:
                raise _refused(f"chunks of {chunk_bytes} bytes")

    def _dataset(self, name: str) -> h5py.Dataset:
        # A link, or a dataset that is a view or lies outside, could name any other file of the machine.
        if not isinstance(self._hdf5.get(name, getlink=True), h5py.HardLink):
            raise _refused(f"no dataset {name} in the file itself")
        dataset = self._hdf5[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise _refused(f"no dataset {name} in the file itself")
        if dataset.dtype.kind not in "fiu" or dataset.ndim < 2:
            raise _refused(f"{name} of {dataset.dtype} with the shape {dataset.shape}")
        return dataset

    def _check_was_read(self) -> None:
        if self._file.fault is not None:  # h5py 3 takes a short read for a full one, and its buffer holds anything
            raise self._file.fault

    def _fault(self, error: Exception) -> BaseException:
        """What to raise for an error of h5py, which may hide one of the storage."""
        if self._file.fault is not None or isinstance(error, InvalidInput):
            return self._file.fault or error
        return _refused(" ".join(str(error).split()))


def _open(file: WatchedFile) -> h5py.File:
    # What HDF5 still holds of a Python file at the end of the process calls an interpreter that is gone: SIGSEGV (h5py
    # 3.16). So an open file is closed before (above), and so is what the frames of a failed opening hold.
    try:
        return h5py.File(file, "r")
    except BaseException as e:
        traceback.clear_frames(e.__traceback__)
        raise


def _refused(given: str) -> InvalidInput:
    return InvalidInput(
        "data.root",
        given=given,
        allowed="an HDF5 file with X (rows, samples, 2), Y (rows, classes) and Z (rows, 1)",
        remedy="Fetch GOLD_XYZ_OSC.0001_1024.hdf5 anew from its publisher.",
    )
