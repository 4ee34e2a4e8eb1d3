"""Any table of clips: a CSV or Parquet file with at least the columns `uri` and `label` (or `labels`).

Relative uris are relative to the table's folder. Several labels in one cell are separated by `|`. The columns clip_id,
recording_id, offset_s, duration_s, fold and group are taken where present; all others travel along as source columns.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.manifest import Clip, Manifest
from storage.errors import InvalidInput

_TEXT_COLUMNS = ("clip_id", "recording_id", "uri", "label", "labels", "group")
_NUMBER_COLUMNS = ("offset_s", "duration_s", "fold")


def manifest(root: str, name: str) -> Manifest:
    """Reads the table at `root`.

    Raises:
        InvalidInput: no such file, not a table, a required column is missing, a row has no uri or label, or a cell
            holds what its column cannot.
    """
    path = Path(root).expanduser()
    table = _read(path)
    label_column = "labels" if "labels" in table.columns else "label"
    for column in ("uri", label_column):
        if column not in table.columns:
            raise InvalidInput(
                f"manifest column {column}",
                given=f"missing in {path} (columns: {', '.join(map(str, table.columns))})",
                allowed="a table with the columns uri and label",
                remedy=f"Add the column {column} or rename yours.",
            )
        empty = [number for number, value in enumerate(table[column], start=1) if _is_empty(value)]
        if empty:
            raise InvalidInput(
                f"manifest column {column}",
                given=f"empty in row {empty[0]}",
                allowed="a value in every row",
                remedy="Fill it.",
            )
    rows = enumerate(table.to_dict("records"), start=1)
    clips = tuple(_clip(path.parent, row, label_column, number) for number, row in rows)
    return Manifest(name=name, root=str(path.parent.resolve()), clips=clips)


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InvalidInput("data.root", given=str(path), allowed="a CSV or Parquet file", remedy="Check the path.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path, dtype_backend="numpy_nullable")  # else an empty cell makes the id 7 a 7.0
        table = pd.read_csv(path, index_col=False, low_memory=False)
        # Text stays as it stands: the clip id 007 is not 7, and the label NA is not an empty cell. Pandas 3 has no
        # setting for that column by column: converters and dtype still turn NA into an empty cell.
        as_text = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
        return table.assign(**{column: as_text[column] for column in _TEXT_COLUMNS if column in as_text.columns})
    except (ValueError, OSError) as e:
        reason = " ".join(str(e).split())
        raise InvalidInput(
            "data.root",
            given=f"{path} ({reason})",
            allowed="a CSV or Parquet file",
            remedy="Repair or convert the file.",
        ) from e


def _clip(folder: Path, row: dict[Any, Any], label_column: str, number: int) -> Clip:
    uri = str(row["uri"])
    _check_scheme(uri, number)
    file = folder / uri
    labels = row[label_column]
    recording_id = _text(row, "recording_id") or Path(uri).stem
    fold = _number(row, "fold", number)
    if fold is not None and not fold.is_integer():
        raise _wrong_cell("fold", row["fold"], number, "a whole number")
    return Clip(
        clip_id=_text(row, "clip_id") or uri,
        recording_id=recording_id,
        uri=uri,
        labels=tuple(map(str, labels if isinstance(labels, np.ndarray) else str(labels).split("|"))),
        offset_s=_number(row, "offset_s", number) or 0.0,
        duration_s=_number(row, "duration_s", number),
        fold=None if fold is None else int(fold),
        group=_text(row, "group") or recording_id,
        size_bytes=file.stat().st_size if file.is_file() else None,
        columns={
            str(key): _scalar(value) for key, value in row.items() if key not in (*_TEXT_COLUMNS, *_NUMBER_COLUMNS)
        },
    )


def _check_scheme(uri: str, number: int) -> None:
    if "://" in uri and not uri.startswith(("s3://", "file://")):
        raise _wrong_cell("uri", uri, number, "a path, file:// or s3://bucket/key")


def _text(row: dict[Any, Any], column: str) -> str | None:
    value = row.get(column)
    return None if _is_empty(value) else str(value)


def _number(row: dict[Any, Any], column: str, number: int) -> float | None:
    value = row.get(column)
    if _is_empty(value):
        return None
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as e:
        raise _wrong_cell(column, value, number, "a number") from e
    if not math.isfinite(found):
        raise _wrong_cell(column, value, number, "a number")
    return found


def _wrong_cell(column: str, value: object, number: int, allowed: str) -> InvalidInput:
    return InvalidInput(
        f"manifest column {column}, row {number}", given=value, allowed=allowed, remedy="Correct the cell."
    )


def _is_empty(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return len(value) == 0
    return value is None or value == "" or bool(pd.isna(value))


def _scalar(value: Any) -> str | int | float | bool | None:
    if _is_empty(value):
        return None
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and not math.isfinite(plain):
        return str(plain)
    return plain if isinstance(plain, str | int | float | bool) else str(plain)
