"""What a Parquet file may bring along and take: columns, row groups and rows that are counted are the same rows."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage import parquet_bounds
from storage.parquet_bounds import BoundedFile, read_bounded, refuse_python_types


def _file(table: pa.Table, **options: Any) -> BoundedFile:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return BoundedFile(pa.BufferReader(buffer.getvalue()))


_TABLE = pa.table(
    {
        "text": [f"row {number % 7}" for number in range(1_000)],
        "labels": [["a", "b"][: number % 3] for number in range(1_000)],
        "number": pa.array(range(1_000), pa.int32()),
        "empty": pa.nulls(1_000, pa.string()),
        "tensor": pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((1_000, 2, 3), dtype=np.float16)),
        "text.dotted": ["x"] * 1_000,
    },
    metadata={"about": "this"},
)


@pytest.mark.parametrize("columns", [None, ["text"], ["number", "labels"], ["tensor", "empty"], ["text.dotted"]])
@pytest.mark.parametrize("group", [None, 1])
@pytest.mark.parametrize("is_counted", [False, True])
def test_rows_are_those_of_the_file(
    columns: list[str] | None, group: int | None, is_counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _file(_TABLE, row_group_size=300)
    if is_counted:  # of texts that may repeat; what is told fits
        monkeypatch.setattr(parquet_bounds, "MAX_BYTES", 100_000)
        monkeypatch.setattr(parquet_bounds, "MAX_RATIO", 0)
    expected = file.read(columns=columns) if group is None else file.read_row_group(group, columns=columns)
    found = read_bounded(file, columns, group=group)
    assert found.combine_chunks().equals(expected.combine_chunks())
    assert found.schema.equals(expected.schema, check_metadata=True)


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows_and_none(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_bounds, "MAX_BYTES", 1 << 10)
    file = _file(_TABLE.select(["text", "labels"]).slice(0, rows))
    assert read_bounded(file).num_rows == rows


@pytest.mark.parametrize(
    ("table", "options"),
    [
        (pa.table({"a": ["x" * 1_000] * 10_000}), {}),
        (pa.table({"a": ["x" * 1_000] * 10_000}), {"use_dictionary": False}),
        (
            pa.table({"a": ["x" * 1_000] * 10_000}),
            {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}},
        ),
        (pa.table({"a": [["x" * 1_000] * 100] * 100}), {}),
        (pa.table({"a": np.zeros(1_250_000)}), {}),
        (pa.table({"a": pa.nulls(10_000, pa.list_(pa.float32(), 250))}), {}),
        (pa.table({"a": pa.array([bytes(1_000)] * 10_000, pa.binary(1_000))}), {}),
    ],
    ids=["dictionary", "packed text", "differences", "lists", "zeros", "lists of nothing", "fixed"],
)
def test_ten_megabytes_out_of_nothing(table: pa.Table, options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _file(table, compression="zstd", **options)
    monkeypatch.setattr(parquet_bounds, "MAX_BYTES", 12_000_000)
    assert read_bounded(file).num_rows == table.num_rows
    monkeypatch.setattr(parquet_bounds, "MAX_BYTES", 8_000_000)
    with pytest.raises(ValueError, match=r"its rows take .* GiB of memory or more"):
        read_bounded(file)
    assert read_bounded(file, []).num_rows in (0, table.num_rows)  # what is not asked for is not counted


def test_what_packs_little_may_be_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_bounds, "MAX_BYTES", 1_000)
    numbers = np.random.default_rng(0).standard_normal(100_000)
    assert read_bounded(_file(pa.table({"a": numbers}))).num_rows == 100_000


def test_arrows_own_types_are_fine_and_those_of_python_are_not() -> None:
    refuse_python_types(_TABLE.schema)
    refuse_python_types(pa.schema([("a", pa.uuid()), ("b", pa.json_()), ("c", pa.dictionary(pa.int8(), pa.string()))]))
    import pandas as pd

    period = pa.array(pd.period_range("2026-01", periods=2, freq="M")).type  # pandas defines it, in Python
    inside = [
        period,
        pa.list_(period),
        pa.struct([("x", pa.list_(period))]),
        pa.map_(pa.string(), period),
    ]
    for kind in inside:
        with pytest.raises(ValueError, match=r"its column 'a' is of the type 'pandas\.period'"):
            refuse_python_types(pa.schema([("a", kind)]))
