"""What the sources share: finding audio in a tree, reading its tables as text, and saying in words what is wrong."""

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence

import pandas as pd

from pipelines.files.recordings import Recordings
from storage.errors import InvalidInput, ObjectNotFound, UnreadableFile

AUDIO_EXTENSIONS = frozenset(
    "wav wave w64 rf64 flac ogg oga opus mp1 mp2 mp3 aif aiff aifc au snd caf".split()  # libsndfile
    + "m4a m4b aac ac3 eac3 dts amr wma wv ape tta mpc mka".split()
    + "mp4 m4v mov mkv webm avi wmv flv mpg mpeg mts m2ts 3gp 3g2".split()  # video with sound
)
_NUM_NAMES = 3


def extension(path: str) -> str:
    """The part after the last dot, in small letters; empty where there is none."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def without_extension(path: str) -> str:
    """The path up to its last dot; unchanged where `extension` finds none."""
    return path[: -len(extension(path)) - 1] if extension(path) else path


def find_audio(recordings: Recordings, prefix: str = "") -> tuple[dict[str, int | None], list[str]]:
    """All files below the root by their extension.

    Returns:
        Path → size in bytes of audio files (None for a link that leads nowhere: it becomes a clip, which is then
        quarantined, rather than vanish), and the paths of all other files.
    """
    audio, others = {}, []
    for path, size_bytes in recordings.walk(prefix):
        if extension(path) in AUDIO_EXTENSIONS:
            audio[path] = size_bytes
        else:
            others.append(path)
    return audio, others


def read_rows(recordings: Recordings, path: str, *, columns: Sequence[str]) -> tuple[list[dict[str, str]], list[str]]:
    """The rows of a CSV file, every cell as the text it is: 007 is not 7, and NA is not an empty cell.

    Args:
        columns: that must be there.

    Returns:
        The rows and no problem, or no rows and what is wrong with the file.
    """
    try:
        content = recordings.read(path)
        with no_cell_lost():
            table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, index_col=False).fillna("")
    except ObjectNotFound:
        return [], [f"no {path} in it" if recordings.root_exists() else "no such folder"]
    except UnreadableFile as e:
        return [], [f"{path} cannot be read: {e.reason}"]
    except ValueError as e:
        return [], [f"{path} is no CSV file: {' '.join(str(e).split())}"]
    missing = [column for column in columns if column not in table.columns]
    if missing:
        return [], [f"{path} has no column {column}" for column in missing]
    rows = [{str(column): cell for column, cell in row.items()} for row in table.to_dict("records")]
    return rows, [] if rows else [f"{path} has no rows"]


@contextlib.contextmanager
def no_cell_lost() -> Iterator[None]:
    """Around pandas' reading of a CSV file with `index_col=False`, which drops what is longer than the header.

    Raises:
        ValueError: a row has more cells than the header.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            yield
        except pd.errors.ParserWarning as e:
            raise ValueError(
                "a row has more cells than the header; a comma inside a cell needs quotes around it"
            ) from e


def wrong_cells(path: str, column: str, cells: Sequence[tuple[int, str]], *, allowed: str) -> list[str]:
    """At most one problem for the cells (row number from 1, content) that a column cannot have."""
    if not cells:
        return []
    number, cell = cells[0]
    more = f"; so in all {len(cells):,} rows" if len(cells) > 1 else ""
    return [f"{path}, column {column}: {cell!r} in row {number} is not {allowed}{more}"]


def in_words(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - _NUM_NAMES:,} more" if len(names) > _NUM_NAMES else ""
    return ", ".join(name if name.isprintable() else ascii(name) for name in names[:_NUM_NAMES]) + more


def counted(what: str, names: Sequence[str], *, of: int | None = None) -> list[str]:
    """One problem that counts and names, as "missing files: 3 of 9 (a, b, c)", or none where there are no names."""
    share = "" if of is None else f" of {of:,}"
    return [f"{what}: {len(names):,}{share} ({in_words(names)})"] if names else []


def refuse_if_any(problems: Sequence[str], recordings: Recordings, *, allowed: str, remedy: str) -> None:
    """Refuses a tree with the first of its problems and the number of the others.

    Raises:
        InvalidInput: there are problems.
    """
    if problems:
        more = f"; jobs/check.py lists {len(problems) - 1:,} more" if len(problems) > 1 else ""
        given = f"{recordings.root} ({problems[0]}{more})"
        raise InvalidInput("data.root", given=given, allowed=allowed, remedy=remedy)
