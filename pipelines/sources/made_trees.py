"""The claim on a folder into which a data set is made: what it is made of is stored first, its table last.

Enters: a folder and the parameters of a set. Leaves: the folder, claimed for that set, or an error.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from storage.errors import InvalidInput
from storage.local import LocalObjectStore


def claim(root: Path, parameters: Mapping[str, int], *, stored_as: str, table: str, audio: str) -> None:
    """Stores the parameters before any audio, so that an interrupted set cannot be continued with others.

    Args:
        root: created if missing.
        stored_as, table, audio: within `root`, the file of the parameters, the table that is written last, and the
            folder of the recordings.

    Raises:
        InvalidInput: `root` holds a set of other parameters, or something that was not made here.
    """
    path = root / stored_as
    remedy = "Choose an empty root, or delete this one if it is no longer needed."
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != parameters:
            given = f"{root}, which holds a synthetic set made with {found}"
            raise InvalidInput("root", given=given, allowed=f"an empty folder or a set of {parameters}", remedy=remedy)
    elif (root / table).exists() or any((root / audio).glob("*")):
        given = f"{root}, which holds audio or a table not made here"
        raise InvalidInput("root", given=given, allowed="an empty folder or a synthetic set", remedy=remedy)
    if not path.exists():
        LocalObjectStore(root).put(stored_as, (json.dumps(parameters, indent=2) + "\n").encode())
