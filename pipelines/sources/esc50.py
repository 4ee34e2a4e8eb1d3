"""ESC-50 and its subset ESC-10: `audio/*` and `meta/esc50.csv`, five official folds.

K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015. Clips cut from one Freesound
recording share `src_file`, and the official folds keep them together.
"""

import re
from collections import Counter

from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip, Manifest
from pipelines.sources.trees import counted, in_words, read_rows, refuse_if_any, without_extension, wrong_cells

# The author's repository, as GitHub packs it. No checksum is published for it and GitHub may pack it anew.
ARCHIVE_URL = "https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip"

_TABLE = "meta/esc50.csv"
_COLUMNS = ("filename", "fold", "category", "src_file", "take")
_NAME = re.compile(r"(?P<fold>\d+)-(?P<src_file>[^-]+)-(?P<take>[^-]+)-(?P<target>\d+)\.\w+")
_FOLDS = (1, 2, 3, 4, 5)
_SHAPES = {"ESC-50": (2_000, 50, 400), "ESC-10": (400, 10, 80)}  # clips, classes, clips of a fold


def manifest(recordings: Recordings, name: str) -> Manifest:
    """Reads an ESC-50 tree.

    Args:
        recordings: the folder that holds `audio/` and `meta/esc50.csv`.
        name: the data set's name.

    Raises:
        InvalidInput: no such folder, no readable meta table, a missing column, an empty cell, a fold that is no number,
            or audio files that are named twice or are not there.
    """
    rows, sizes, problems = _read(recordings)
    refuse_if_any(problems, recordings, allowed="an ESC-50 tree", remedy=_remedy(rows))
    clips = tuple(_clip(row, sizes[row["filename"]]) for row in rows)
    return Manifest(name=name, root=recordings.root, endpoint_url=recordings.endpoint_url, clips=clips)


def check(recordings: Recordings) -> list[str]:
    """What is wrong with a tree, in words: what `manifest` refuses, then what is unlike the published sets."""
    rows, sizes, problems = _read(recordings)
    return [*problems, *(_oddities(rows, sizes) if rows else [])]


def _read(recordings: Recordings) -> tuple[list[dict[str, str]], dict[str, int], list[str]]:
    """Rows of the table, sizes by file name, and problems."""
    rows, problems = read_rows(recordings, _TABLE, columns=_COLUMNS)
    if not rows:
        return rows, {}, problems
    sizes = {path.removeprefix("audio/"): size for path, size in recordings.list("audio/").items()}
    numbered = list(enumerate(rows, start=1))
    for column in ("filename", "category", "src_file"):
        empty = [(number, row[column]) for number, row in numbered if not row[column]]
        problems += wrong_cells(_TABLE, column, empty, allowed="a value")
    wrong_folds = [(number, row["fold"]) for number, row in numbered if not row["fold"].isdecimal()]
    problems += wrong_cells(_TABLE, "fold", wrong_folds, allowed="a whole number")
    stems = Counter(without_extension(row["filename"]) for row in rows)
    repeated = [stem for stem, count in stems.items() if count > 1]
    if repeated:
        problems.append(f"{_TABLE} names {in_words(repeated)} more than once")
    missing = [row["filename"] for row in rows if row["filename"] and row["filename"] not in sizes]
    problems += counted(f"files that {_TABLE} names and audio/ does not have", missing, of=len(rows))
    return rows, sizes, problems


def _remedy(rows: list[dict[str, str]]) -> str:
    if not rows:
        return "Point data.root at the folder with audio/ and meta/, or fetch it with jobs/fetch.py source=esc50."
    return "Restore the original table and files."


def _clip(row: dict[str, str], size_bytes: int) -> Clip:
    return Clip(
        clip_id=without_extension(row["filename"]),
        recording_id=row["src_file"],
        uri=f"audio/{row['filename']}",
        labels=(row["category"],),
        fold=int(row["fold"]),
        size_bytes=size_bytes,
        columns={"take": row["take"]},
    )


def _oddities(rows: list[dict[str, str]], sizes: dict[str, int]) -> list[str]:
    named = {row["filename"] for row in rows}
    parts = {row["filename"]: _NAME.fullmatch(row["filename"]) for row in rows}
    off_pattern = [filename for filename, match in parts.items() if not match]
    words = counted(f"files in audio/ that {_TABLE} does not name", sorted(sizes.keys() - named))
    words += counted("file names off the pattern <fold>-<src_file>-<take>-<target>", off_pattern)
    for column in ("fold", "src_file", "take", "target"):
        other = [
            row["filename"]
            for row in rows
            if (match := parts[row["filename"]]) and match[column] != row.get(column, match[column])
        ]
        words += counted(f"file names whose {column} is not that of their row", other)
    return words + _wrong_counts(rows)


def _wrong_counts(rows: list[dict[str, str]]) -> list[str]:
    num_classes, folds = len({row["category"] for row in rows}), Counter(row["fold"] for row in rows)
    set_name = "ESC-10" if num_classes <= 10 else "ESC-50"
    clips_in_all, classes_in_all, clips_per_fold = _SHAPES[set_name]
    words = []
    if len(rows) != clips_in_all:
        words.append(f"{len(rows):,} clips; {set_name} has {clips_in_all:,}")
    if num_classes != classes_in_all:
        words.append(f"{num_classes} classes; {set_name} has {classes_in_all}")
    for fold in _FOLDS:
        if folds[str(fold)] != clips_per_fold:
            words.append(f"fold {fold} has {folds[str(fold)]} clips; in {set_name} it has {clips_per_fold}")
    strange = sorted(folds.keys() - {str(fold) for fold in _FOLDS})
    return words + counted("folds that are none of 1 to 5", strange)
