"""How far two tables of clips overlap: the same clip ids, the same groups, the same audio.

Enters: two CSV files, for example a train and a validation list from anywhere. Leaves: one `Overlap` per kind. Only
exact matches count, apart from two accidents of writing: spaces around a value, and a whole number that passed through
a float column (`2.0` for `2`; pandas writes it where a cell is empty). Nothing else is guessed from the form of a name:
`007` is not `7`. What cannot be compared is said, never counted as zero.
"""

import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from pipelines.audits.clip_audio import map_audio
from pipelines.decoding.rules import Undecodable
from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip
from storage.errors import InvalidInput, nearest

ID_COLUMNS = ("clip_id", "filename", "file_name", "file", "path", "uri", "image", "image_path")
GROUP_COLUMNS = ("group", "src_file", "recording_id", "recording", "speaker", "speaker_id")
URI_COLUMNS = ("uri", "path", "filename", "file_name", "file")

_NO_COLUMN = "not compared: no such column"
_WHOLE_FLOAT = re.compile(r"([+-]?\d+)\.0+")

Kind = Literal["clip id", "group", "identical audio"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """What two tables share in one respect. All counts are of distinct values.

    Attributes:
        asked: whether somebody asked for this comparison, by naming a column or an audio_root.
        column: where the values came from; for audio the two columns may differ.
        shared: the values in both; for audio, pairs of names joined by ` = `.
        not_compared: why there was no comparison, or an empty text; the counts are then 0 and mean nothing.
        num_empty_first, num_empty_second: rows without a value, which match nothing.
        unreadable: for audio: `name: reason` of every file that is missing or cannot be decoded.
    """

    kind: Kind
    asked: bool = False
    column: str = ""
    num_first: int = 0
    num_second: int = 0
    shared: tuple[str, ...] = ()
    not_compared: str = ""
    num_empty_first: int = 0
    num_empty_second: int = 0
    unreadable: tuple[str, ...] = ()

    @property
    def share_of_second(self) -> float | None:
        """Shared values as a share of the second table's, or None where there is nothing to divide."""
        return None if self.not_compared or not self.num_second else len(self.shared) / self.num_second

    @property
    def shortfall(self) -> str:
        """Why the comparison that was asked for was not made, or not over all rows; an empty text where it was."""
        if not self.asked:
            return ""
        num_empty = self.num_empty_first + self.num_empty_second if self.kind == "identical audio" else 0
        parts = [self.not_compared] if self.not_compared else []
        if self.unreadable:
            parts.append(f"{len(self.unreadable)} files could not be read, first {self.unreadable[0]}")
        if num_empty:
            parts.append(f"{num_empty} rows name no file")
        return "; ".join(parts)


def read_clip_table(path: str, *, field: str) -> pd.DataFrame:
    """Reads a CSV file: every cell is text without the spaces around it, and an empty cell is an empty text.

    Args:
        field: the setting that named the file, for messages.

    Raises:
        InvalidInput: no such file, no CSV, no rows, or two columns of one name.
    """
    if not Path(path).expanduser().is_file():
        raise InvalidInput(field, given=path, allowed="a CSV file", remedy="Check the path.")
    try:
        table = pd.read_csv(Path(path).expanduser(), dtype=str, keep_default_na=False, index_col=False).fillna("")
    except (ValueError, OSError) as e:
        reason = " ".join(str(e).split())
        raise InvalidInput(
            field, given=f"{path} ({reason})", allowed="a CSV file", remedy="Repair or convert the file."
        ) from e
    table.columns = table.columns.str.strip()
    if table.empty or table.columns.has_duplicates:
        found = "no rows" if table.empty else "two columns of one name"
        raise InvalidInput(
            field,
            given=f"{path} ({found})",
            allowed="a table with rows and with column names that differ",
            remedy="Check that this is the file you mean: nothing would be compared.",
        )
    return table.apply(lambda column: column.str.strip())


def audit_tables(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    id_column: str = "",
    group_column: str = "",
    uri_column: str = "",
    audio_root: str = "",
    on_progress: Callable[[int, int], None] = lambda files_done, files_in_all: None,
) -> list[Overlap]:
    """Compares two tables of clips by clip id, group and audio.

    Args:
        first, second: as `read_clip_table` gives them. Columns `offset_s` and `duration_s` cut clips out of files.
        id_column, group_column, uri_column: empty for the first known name that both tables have.
        audio_root: the folder that relative uris are relative to; empty for no comparison of audio. Two clips are
            identical when their decoded samples are, whatever their names and lossless containers.
        on_progress: called with the number of clips hashed and of all to hash.

    Returns:
        Overlaps by clip id, group and identical audio, in this order.

    Raises:
        InvalidInput: a column was asked for that neither table has, or nothing at all could be compared.
        StorageError: audio lies on S3, which could not be read.
    """
    tables = (first, second)
    id_found = _shared_column("id_column", id_column, ID_COLUMNS, tables)
    group_found = _shared_column("group_column", group_column, GROUP_COLUMNS, tables)
    overlaps = [
        _compare_values("clip id", tables, id_found, asked=bool(id_column)),
        _compare_values("group", tables, group_found, asked=bool(group_column)),
        _compare_audio(tables, _uri_columns(uri_column, tables), audio_root, on_progress),
    ]
    if all(overlap.not_compared for overlap in overlaps):
        raise InvalidInput(
            "first, second",
            given=f"columns {_names(first)} and {_names(second)}",
            allowed=f"files that share a column of clip ids ({', '.join(ID_COLUMNS)}) or groups "
            f"({', '.join(GROUP_COLUMNS)})",
            remedy="Name it with id_column=… or group_column=….",
        )
    return overlaps


def _shared_column(
    field: str, asked: str, known: Sequence[str], tables: tuple[pd.DataFrame, pd.DataFrame]
) -> str | None:
    """The column to compare; the same in both, as an id and a file name would never match and look like no leak."""
    _refuse_unknown(field, asked, tables)
    candidates = [asked] if asked else known
    return next((name for name in candidates if all(name in table.columns for table in tables)), None)


def _uri_columns(asked: str, tables: tuple[pd.DataFrame, pd.DataFrame]) -> tuple[str, str] | None:
    _refuse_unknown("uri_column", asked, tables)
    candidates = [asked] if asked else URI_COLUMNS
    found = [next((name for name in candidates if name in table.columns), None) for table in tables]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def _refuse_unknown(field: str, asked: str, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    known = {str(name) for table in tables for name in table.columns}
    if asked and asked not in known:
        raise InvalidInput(
            field,
            given=asked,
            allowed=", ".join(sorted(known)),
            remedy=f"{nearest(asked, known)}Neither file has this column.",
        )


def _compare_values(
    kind: Kind, tables: tuple[pd.DataFrame, pd.DataFrame], column: str | None, *, asked: bool
) -> Overlap:
    if column is None:
        return Overlap(kind=kind, asked=asked, not_compared=_NO_COLUMN)
    first, second = ({_spelling(value) for value in table[column]} - {""} for table in tables)
    return Overlap(
        kind=kind,
        asked=asked,
        column=column,
        num_first=len(first),
        num_second=len(second),
        shared=tuple(sorted(first & second)),
        num_empty_first=_num_empty(tables[0], column),
        num_empty_second=_num_empty(tables[1], column),
    )


def _spelling(value: str) -> str:
    """One spelling for values that a spreadsheet or a float column has written differently."""
    whole = _WHOLE_FLOAT.fullmatch(value.strip())
    return whole[1] if whole else value.strip()


def _num_empty(table: pd.DataFrame, column: str) -> int:
    return int((table[column].str.strip() == "").sum())


def _compare_audio(
    tables: tuple[pd.DataFrame, pd.DataFrame],
    columns: tuple[str, str] | None,
    audio_root: str,
    on_progress: Callable[[int, int], None],
) -> Overlap:
    if not audio_root:
        return Overlap(kind="identical audio", not_compared="not compared: no audio_root given")
    if columns is None:
        return Overlap(kind="identical audio", asked=True, not_compared=_NO_COLUMN)
    clips = [_clips(table, column) for table, column in zip(tables, columns, strict=True)]
    hashes, unreadable = _hash_all([*clips[0], *clips[1]], audio_root, on_progress)
    first, second = (_names_by_hash(of_table, hashes) for of_table in clips)
    if not first or not second:
        reason = "not compared: no readable audio"
        return Overlap(kind="identical audio", asked=True, not_compared=reason, unreadable=unreadable)
    both = first.keys() & second.keys()
    return Overlap(
        kind="identical audio",
        asked=True,
        column=" / ".join(dict.fromkeys(columns)),
        num_first=len(first),
        num_second=len(second),
        shared=tuple(sorted(f"{min(first[digest])} = {min(second[digest])}" for digest in both)),
        num_empty_first=_num_empty(tables[0], columns[0]),
        num_empty_second=_num_empty(tables[1], columns[1]),
        unreadable=unreadable,
    )


def _clips(table: pd.DataFrame, column: str) -> list[Clip]:
    return [
        Clip(
            clip_id=row[column].strip(),
            recording_id="",
            uri=row[column].strip(),
            labels=(),
            offset_s=_seconds(row.get("offset_s", "")) or 0.0,
            duration_s=_seconds(row.get("duration_s", "")),
        )
        for row in table.to_dict("records")
        if row[column].strip()
    ]


def _seconds(cell: str) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return math.nan  # the decoder names the clip and says what it asks for


def _hash_all(
    clips: list[Clip], root: str, on_progress: Callable[[int, int], None]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Hashes of decoded samples by part of a file, and `name: reason` of what has none."""
    by_part = {_part(clip): clip for clip in clips}
    hashes: dict[str, str] = {}
    unreadable = []
    found = map_audio(Recordings(root), list(by_part.values()), operator.attrgetter("pcm_hash"))
    for done, (clip, pcm_hash) in enumerate(found, start=1):
        if isinstance(pcm_hash, Undecodable):
            unreadable.append(f"{clip.uri}: {pcm_hash.reason}")
        else:
            hashes[_part(clip)] = pcm_hash
        on_progress(done, len(by_part))
    return hashes, tuple(sorted(unreadable))


def _names_by_hash(clips: Iterable[Clip], hashes: dict[str, str]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        if _part(clip) in hashes:
            names[hashes[_part(clip)]].add(clip.uri)
    return names


def _part(clip: Clip) -> str:
    return f"{clip.uri} {clip.offset_s} {clip.duration_s}"


def _names(table: pd.DataFrame) -> str:
    return ", ".join(map(str, table.columns))
