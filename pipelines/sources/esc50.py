"""ESC-50 and its subset ESC-10: `audio/*` and `meta/esc50.csv`, five official folds.

K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015. Clips cut from one Freesound
recording share `src_file`, and the official folds keep them together.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.manifest import Clip, Manifest
from storage.errors import InvalidInput

_COLUMNS = ("filename", "fold", "category", "src_file", "take")


def manifest(root: str, name: str) -> Manifest:
    """Reads an ESC-50 tree.

    Args:
        root: the folder that holds `audio/` and `meta/esc50.csv`.
        name: the data set's name.

    Raises:
        InvalidInput: no such folder, no readable meta table, a missing column, a fold that is no number, or audio files
            that are named but not there.
    """
    folder = Path(root).expanduser()
    meta = folder / "meta" / "esc50.csv"
    if not meta.is_file():
        found = "no such folder" if not folder.is_dir() else "no meta/esc50.csv in it"
        raise InvalidInput(
            "data.root",
            given=f"{root} ({found})",
            allowed="an ESC-50 tree",
            remedy="Point data.root at the folder with audio/ and meta/.",
        )
    try:
        table = pd.read_csv(meta, dtype=str, keep_default_na=False, index_col=False).fillna("")
    except (ValueError, OSError) as e:
        reason = " ".join(str(e).split())
        raise InvalidInput(
            "data.root", given=f"{meta} ({reason})", allowed="a CSV file", remedy="Restore the original table."
        ) from e
    missing_columns = [column for column in _COLUMNS if column not in table.columns]
    if missing_columns:
        raise InvalidInput(
            f"{meta} column {missing_columns[0]}",
            given="missing",
            allowed=", ".join(_COLUMNS),
            remedy="Restore the original table.",
        )
    wrong_folds = [fold for fold in table["fold"] if not fold.isdecimal()]
    if wrong_folds:
        raise InvalidInput(
            f"{meta} column fold",
            given=wrong_folds[0],
            allowed="a whole number in every row",
            remedy="Restore the original table.",
        )
    missing_files = [filename for filename in table["filename"] if not (folder / "audio" / filename).is_file()]
    if missing_files:
        raise InvalidInput(
            "data.root",
            given=f"{len(missing_files)} of {len(table)} audio files missing, first {missing_files[0]}",
            allowed="every file that meta/esc50.csv names",
            remedy="Copy the missing files into audio/.",
        )
    return Manifest(
        name=name, root=str(folder.resolve()), clips=tuple(_clip(folder, row) for row in table.to_dict("records"))
    )


def _clip(folder: Path, row: dict[Any, str]) -> Clip:
    uri = f"audio/{row['filename']}"
    return Clip(
        clip_id=Path(row["filename"]).stem,
        recording_id=row["src_file"],
        uri=uri,
        labels=(row["category"],),
        fold=int(row["fold"]),
        size_bytes=(folder / uri).stat().st_size,
        columns={"take": row["take"]},
    )
