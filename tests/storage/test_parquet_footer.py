"""What is read of a footer is what pyarrow tells of it, where it tells anything; a wrong byte ends no process."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.parquet_bounds import BoundedFile
from storage.parquet_footer import _Compact

_PROJECT = Path(__file__).parents[2]
_TABLE = pa.table(
    {
        "text": [f"row {number}" for number in range(50)],
        "nothing": pa.nulls(50, pa.string()),
        "lists": [["a", "b"][: number % 3] for number in range(50)],
        "small": pa.array([number - 25 for number in range(50)], pa.int16()),
        "large": [number - 2**40 for number in range(50)],
        "real": np.linspace(-1, 1, 50),
        "flag": [number % 2 == 0 for number in range(50)],
        "when": pa.array(range(50), pa.timestamp("us")),
        "inside": [{"a": {"b": float(number)}} for number in range(50)],
        **{f"wide {number}": [number] * 50 for number in range(20)},  # lists of more than fourteen elements
    }
)


@pytest.mark.parametrize(
    "options", [{}, {"row_group_size": 7}, {"write_statistics": False}, {"use_dictionary": False, "compression": None}]
)
def test_chunks_are_as_pyarrow_tells_them(options: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    pq.write_table(_TABLE, buffer, **options)
    file = BoundedFile(pa.BufferReader(buffer.getvalue()))
    assert len(file.chunks) == file.metadata.num_row_groups
    for number, chunks in enumerate(file.chunks):
        for index, chunk in enumerate(chunks):
            told = file.metadata.row_group(number).column(index)
            assert (chunk.path, chunk.kind, chunk.num_values) == (
                told.path_in_schema,
                told.physical_type,
                told.num_values,
            )
            assert chunk.total_compressed_bytes == told.total_compressed_size
            assert chunk.total_uncompressed_bytes == told.total_uncompressed_size
            assert {name for name in chunk.encodings if not name.isdigit()} <= set(told.encodings)
            assert len(chunk.encodings) == len(set(told.encodings))
            if told.statistics is None or not told.statistics.has_min_max:
                assert chunk.bounds is None
            elif told.path_in_schema in ("text", "small", "large"):
                assert chunk.bounds is not None
                bounds = [chunk.value_of(bound) for bound in chunk.bounds]
                assert bounds == [told.statistics.min, told.statistics.max]


def test_no_wrong_byte_of_a_footer_ends_the_process() -> None:
    done = subprocess.run(
        [sys.executable, _PROJECT / "tests/toys/damaged_footers.py"],
        env={"PYTHONPATH": str(_PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["others"] == {}
    assert found["read"] > 100
    assert found["refused"] > 1000


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x1c" * 100, "nested without end"),
        (b"\x18\xff\xff\xff\x7fabc", "ends in a text"),
        (b"\x1b\x00", "unknown type 11"),
    ],
    ids=["nested", "a long text", "a map"],
)
def test_what_no_footer_has_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        _Compact(data).struct()
