"""BirdCLEF: `train_audio/<species>/<id>.ogg` and `train.csv`, several species in one recording.

The competitions of LifeCLEF on Kaggle, 2021 and later. The primary label is the species that the recording was made
for; the secondary ones are heard behind it. All slices of a recording are one group.
"""

import ast
from typing import Any

from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip, Manifest
from pipelines.sources.trees import counted, read_rows, refuse_if_any, without_extension, wrong_cells

_TABLE = "train.csv"
_FOLDER = "train_audio/"
_COLUMNS = ("primary_label", "secondary_labels", "filename")


def manifest(recordings: Recordings, name: str) -> Manifest:
    """Reads a BirdCLEF tree.

    Args:
        recordings: the folder that holds `train.csv` and `train_audio/`.
        name: the data set's name.

    Returns:
        One clip for each row, its labels the primary one and then the secondary ones; all columns but the file name as
        the text they are.

    Raises:
        InvalidInput: no such folder, no readable table, a missing column, an empty file name or primary label,
            secondary labels that are no list, or files that are named but not there.
    """
    rows, sizes, problems = _read(recordings)
    refuse_if_any(
        problems,
        recordings,
        allowed="a BirdCLEF tree with train.csv and train_audio/",
        remedy="Restore the original table and files.",
    )
    clips = tuple(_clip(row, sizes[row["filename"]]) for row in rows)
    return Manifest(name=name, root=recordings.root, endpoint_url=recordings.endpoint_url, clips=clips)


def check(recordings: Recordings) -> list[str]:
    """What is wrong with a tree, in words: what `manifest` refuses, then what is unlike the published sets."""
    rows, sizes, problems = _read(recordings)
    if not rows:
        return problems
    named = {row["filename"] for row in rows}
    strangers = [row["filename"] for row in rows if row["filename"].rpartition("/")[0] != row["primary_label"]]
    return [
        *problems,
        *counted(f"files in {_FOLDER} that {_TABLE} does not name", sorted(sizes.keys() - named)),
        *counted("files that do not lie in the folder of their primary label", strangers),
    ]


def _read(recordings: Recordings) -> tuple[list[dict[str, str]], dict[str, int], list[str]]:
    """Rows of the table, sizes by file name, and problems."""
    rows, problems = read_rows(recordings, _TABLE, columns=_COLUMNS)
    if not rows:
        return rows, {}, problems
    sizes = {path.removeprefix(_FOLDER): size for path, size in recordings.list(_FOLDER).items()}
    numbered = list(enumerate(rows, start=1))
    for column in ("filename", "primary_label"):
        empty = [(number, row[column]) for number, row in numbered if not row[column]]
        problems += wrong_cells(_TABLE, column, empty, allowed="a value")
    cells = [(number, row["secondary_labels"]) for number, row in numbered]
    no_lists = [(number, cell) for number, cell in cells if _parse_labels(cell) is None]
    problems += wrong_cells(_TABLE, "secondary_labels", no_lists, allowed="a list like ['a', 'b']")
    missing = [row["filename"] for row in rows if row["filename"] and row["filename"] not in sizes]
    problems += counted(f"files that {_TABLE} names and {_FOLDER} does not have", missing, of=len(rows))
    return rows, sizes, problems


def _parse_labels(cell: str) -> tuple[str, ...] | None:
    """The labels of a cell like "['a', 'b']", without empty ones; None for anything but a list of texts."""
    if not cell.strip():
        return ()
    try:
        parsed: Any = ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(parsed, list | tuple) or not all(isinstance(label, str) for label in parsed):
        return None
    return tuple(label for label in parsed if label)


def _clip(row: dict[str, str], size_bytes: int) -> Clip:
    path = without_extension(row["filename"])
    secondary = _parse_labels(row["secondary_labels"]) or ()
    return Clip(
        clip_id=path,
        recording_id=path.rpartition("/")[2],
        uri=f"{_FOLDER}{row['filename']}",
        labels=tuple(dict.fromkeys((row["primary_label"], *secondary))),
        size_bytes=size_bytes,
        columns={column: cell or None for column, cell in row.items() if column != "filename"},
    )
