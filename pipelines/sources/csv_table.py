"""Any table of clips: a CSV, TSV or Parquet file with at least the columns `uri` and `label` (or `labels`).

Relative uris are relative to the table's folder; absolute ones may lie on a disk, on S3 or on the web. Several labels
in one cell are separated by `|`. The columns clip_id, recording_id, offset_s, duration_s, fold and group are taken
where present; all others travel along. The source is called `csv`; this file is not, because of Python's own.
"""

import dataclasses
import io
import math
import re
import urllib.parse
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip, Manifest
from pipelines.sources.trees import counted, extension, in_words, no_cell_lost, without_extension
from storage.addresses import refuse_credentials
from storage.errors import InvalidInput, ObjectNotFound, UnreadableFile
from storage.parquet import check_foreign_parquet

_TEXT_COLUMNS = ("clip_id", "recording_id", "uri", "label", "labels", "group")
_NUMBER_COLUMNS = ("offset_s", "duration_s", "fold")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")  # 007 is a name
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,15})\.[0-9]{1,17}")


def manifest(recordings: Recordings, name: str) -> Manifest:
    """Reads a table of clips.

    Args:
        recordings: its root is the table's file.
        name: the data set's name.

    Raises:
        InvalidInput: no such file, not a table, a required column is missing, a row has no uri or label, or a cell
            holds what its column cannot: the first of these, and how many more there are.
        StorageError: a server that holds recordings is at fault.
    """
    folder, filename = recordings.parent()
    clips, problems = _read(folder, filename)
    if problems:
        more = f" jobs/check.py lists {len(problems) - 1:,} more." if len(problems) > 1 else ""
        first = problems[0]
        raise InvalidInput(first.field, given=first.given, allowed=first.allowed, remedy=first.remedy + more)
    return Manifest(name=name, root=folder.root, endpoint_url=folder.endpoint_url, clips=_with_sizes(folder, clips))


def check(recordings: Recordings) -> list[str]:
    """What is wrong with a table, in words: what `manifest` refuses, then files that are not there."""
    folder, filename = recordings.parent()
    clips, problems = _read(folder, filename)
    words = [f"{problem.field}: {problem.given}; allowed: {problem.allowed}" for problem in problems]
    repeated = [clip_id for clip_id, count in Counter(clip.clip_id for clip in clips).items() if count > 1]
    if repeated:
        words.append(f"manifest column clip_id: {in_words(repeated)} more than once; allowed: every clip_id once")
    unseen = [clip.uri for clip in _with_sizes(folder, clips) if clip.size_bytes is None]
    missing = [uri for uri in dict.fromkeys(unseen) if not folder.exists(uri)]
    return words + counted(f"files that {filename} names and that are missing", missing)


def _with_sizes(folder: Recordings, clips: list[Clip]) -> tuple[Clip, ...]:
    """A file that is not there has no size: the pipeline will say so, clip by clip."""
    sizes = folder.sizes(clip.uri for clip in clips)
    return tuple(dataclasses.replace(clip, size_bytes=sizes[clip.uri]) for clip in clips)


def _read(folder: Recordings, filename: str) -> tuple[list[Clip], list[InvalidInput]]:
    """The clips of all good rows, without their sizes, and what is wrong with the others."""
    try:
        table = _read_table(folder, filename)
        label_column = _label_column(table, folder.uri(filename))
    except InvalidInput as e:
        return [], [e]
    if table.empty:
        nothing = InvalidInput(
            "data.root", given=folder.uri(filename), allowed="a table with at least one clip", remedy="Check the path."
        )
        return [], [nothing]
    clips, problems = [], []
    for number, row in enumerate(table.to_dict("records"), start=1):
        try:
            clips.append(_clip(row, label_column, number))
        except InvalidInput as e:
            problems.append(e)
    return clips, problems


def _read_table(folder: Recordings, filename: str) -> pd.DataFrame:
    path, allowed = folder.uri(filename), "a CSV, TSV or Parquet file"
    try:
        content = folder.read(filename)
        if extension(filename) == "parquet":
            check_foreign_parquet(content)
            # Without nullable types an empty cell makes the id 7 a 7.0.
            return pd.read_parquet(io.BytesIO(content), dtype_backend="numpy_nullable")
        separator = "\t" if extension(filename) == "tsv" else ","
        # Text stays as it stands: the clip id 007 is not 7, and the label NA is not an empty cell. Nor may the type of
        # a cell follow from the other rows: one that is added must not make another clip of every old one.
        with no_cell_lost():
            return pd.read_csv(
                io.BytesIO(content), sep=separator, dtype=str, keep_default_na=False, index_col=False
            ).fillna("")
    except ObjectNotFound as e:
        raise InvalidInput("data.root", given=path, allowed=allowed, remedy="Check the path.") from e
    except (ValueError, OSError, UnreadableFile) as e:
        reason = e.reason if isinstance(e, UnreadableFile) else " ".join(str(e).split())
        raise InvalidInput(
            "data.root", given=f"{path} ({reason})", allowed=allowed, remedy="Repair or convert the file."
        ) from e


def _label_column(table: pd.DataFrame, path: str) -> str:
    label_column = "labels" if "labels" in table.columns else "label"
    for column in ("uri", label_column):
        if column not in table.columns:
            raise InvalidInput(
                f"manifest column {column}",
                given=f"missing in {path} (columns: {', '.join(map(str, table.columns))})",
                allowed="a table with the columns uri and label",
                remedy=f"Add the column {column} or rename yours.",
            )
    return label_column


def _clip(row: dict[Any, Any], label_column: str, number: int) -> Clip:
    for column in ("uri", label_column):
        if _is_empty(row[column]):
            raise InvalidInput(
                f"manifest column {column}",
                given=f"empty in row {number}",
                allowed="a value in every row",
                remedy="Fill it.",
            )
    uri, labels = str(row["uri"]), row[label_column]
    _check_scheme(uri, number)
    recording_id = _text(row, "recording_id") or _stem(uri)
    fold = _number(row, "fold", number)
    if fold is not None and not fold.is_integer():
        raise _wrong_cell("fold", row["fold"], number, "a whole number")
    return Clip(
        clip_id=_text(row, "clip_id") or uri,
        recording_id=recording_id,
        uri=uri,
        labels=_labels(labels, label_column, number),
        offset_s=_number(row, "offset_s", number) or 0.0,
        duration_s=_number(row, "duration_s", number),
        fold=None if fold is None else int(fold),
        group=_text(row, "group") or recording_id,
        columns={
            str(key): _scalar(value) for key, value in row.items() if key not in (*_TEXT_COLUMNS, *_NUMBER_COLUMNS)
        },
    )


def _labels(cell: Any, column: str, number: int) -> tuple[str, ...]:
    """Each label once, in their order."""
    labels = list(cell) if isinstance(cell, np.ndarray) else str(cell).split("|")
    if any(label is None or bool(pd.isna(label)) for label in labels):
        raise _wrong_cell(column, cell, number, "a list without empty entries")
    return tuple(dict.fromkeys(map(str, labels)))


def _stem(uri: str) -> str:
    path = urllib.parse.urlsplit(uri).path if uri.startswith(("http://", "https://")) else uri
    return without_extension(path.rstrip("/").rpartition("/")[2]) or uri


def _check_scheme(uri: str, number: int) -> None:
    refuse_credentials(f"manifest column uri, row {number}", uri)
    if "://" in uri and not uri.startswith(("s3://", "file://", "http://", "https://")):
        raise _wrong_cell("uri", uri, number, "a path, file://, s3://bucket/key or http(s)://")
    try:
        no_place = "://" in uri and not uri.startswith("file://") and not urllib.parse.urlsplit(uri).netloc
    except ValueError:
        no_place = True
    if no_place:
        raise _wrong_cell("uri", uri, number, "an address with a bucket or a server")


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
    """A cell of another column: of Parquet with its type, of CSV by what it looks like."""
    if _is_empty(value):
        return None
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, str):
        return _plain_cell(plain)
    if isinstance(plain, float) and not math.isfinite(plain):
        return str(plain)
    return plain if isinstance(plain, int | float | bool) else str(plain)


def _plain_cell(text: str) -> str | int | float | bool:
    """Whole numbers, decimals and true or false as such, where their spelling loses nothing; else the text."""
    if text in ("True", "False"):
        return text == "True"
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text
