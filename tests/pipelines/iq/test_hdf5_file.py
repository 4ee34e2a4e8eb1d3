"""Rows of an HDF5 file: faults of the file are the row's, faults of the server are not."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from radioml_files import write_2018

from pipelines.decoding.rules import Undecodable
from pipelines.feature_spec import FeatureSpec
from pipelines.files.block_file import open_blocks
from pipelines.iq.examples import _Hdf5Examples, read_iq
from pipelines.iq.hdf5_file import IqHdf5
from pipelines.manifest import Clip
from storage.errors import StorageError

SPEC = FeatureSpec(representation="iq_magnitude", sample_rate_hz=1_000_000, window_s=0.001, min_duration_s=0.0)


def test_a_row_is_i_plus_j_q(tmp_path: Path) -> None:
    path = write_2018(tmp_path / "radio.hdf5", num_rows=3, num_samples=16)
    with path.open("rb") as file, h5py.File(path) as reference:
        hdf5 = IqHdf5(file)
        assert (hdf5.num_rows, hdf5.num_classes, hdf5.num_samples) == (3, 24, 16)
        row = hdf5.read(2)
        assert row.dtype == np.complex64
        np.testing.assert_array_equal(row.real, reference["X"][2, :, 0])
        np.testing.assert_array_equal(row.imag, reference["X"][2, :, 1])
        with pytest.raises(IndexError):
            hdf5.read(3)


def test_classes_and_snrs_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.iq.hdf5_file._ROWS_PER_READ", 7)
    with write_2018(tmp_path / "radio.hdf5", num_rows=30, num_samples=2).open("rb") as file:
        classes, snrs_db = IqHdf5(file).classes_and_snrs_db()
    assert classes.tolist() == [row % 24 for row in range(30)]
    assert snrs_db.tolist() == [2 * row - 20 for row in range(30)]


def test_a_damaged_row_is_quarantined_and_its_neighbours_are_read(tmp_path: Path) -> None:
    path = write_2018(tmp_path / "radio.hdf5", num_rows=3)
    with h5py.File(path, "a") as file:
        samples = file["X"][:]
        del file["X"]
        file.create_dataset("X", data=samples, chunks=(1, 1024, 2), compression="gzip")
        offset = file["X"].id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 200] = bytes(200)
    path.write_bytes(content)
    with path.open("rb") as opened:
        examples = _Hdf5Examples(IqHdf5(opened))
        assert len(read_iq(examples, _clip(0), SPEC).samples) == 1024
        with pytest.raises(Undecodable) as refused:
            read_iq(examples, _clip(1), SPEC)
        assert refused.value.reason == "truncated"
        np.testing.assert_array_equal(read_iq(examples, _clip(2), SPEC).samples.real, samples[2, :, 0])


def test_a_server_that_is_lost_is_no_damaged_row(tmp_path: Path) -> None:
    content, is_up = write_2018(tmp_path / "radio.hdf5").read_bytes(), True

    def fetch(start: int, length: int) -> bytes:
        if not is_up:
            raise StorageError("the server is down")
        return content[start : start + length]

    examples = _Hdf5Examples(IqHdf5(open_blocks(fetch, len(content), block_bytes=4096)))
    assert len(read_iq(examples, _clip(0), SPEC).samples) == 1024
    is_up = False
    with pytest.raises(StorageError, match="the server is down"):
        read_iq(examples, _clip(20), SPEC)


def test_a_server_that_is_lost_at_the_start_is_no_damaged_file() -> None:
    def fetch(start: int, length: int) -> bytes:
        raise StorageError("the server is down")

    with pytest.raises(StorageError, match="the server is down"):
        IqHdf5(open_blocks(fetch, 100_000))


def _clip(row: int) -> Clip:
    return Clip(clip_id=str(row), recording_id=str(row), uri=f"radio.hdf5#{row}", labels=("FM",))
