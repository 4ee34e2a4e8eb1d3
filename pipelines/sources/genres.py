"""Music by genre: `WAV/<genre>/<subgenre>/*.{mp3,wav,flac,ogg}`, the layout of music similarity work.

The root may be the folder above `WAV` or `WAV` itself; both give the same data set. Every track is one recording.
"""

from collections import defaultdict
from typing import Literal, get_args

from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip, Manifest
from pipelines.sources.trees import counted, find_audio, refuse_if_any, without_extension
from storage.errors import InvalidInput

LabelLevel = Literal["genre/subgenre", "genre", "subgenre"]
_FOLDER = "WAV"


def manifest(recordings: Recordings, name: str, *, label_level: LabelLevel = "genre/subgenre") -> Manifest:
    """Reads a tree of genres.

    Args:
        recordings: `WAV` or the folder that holds it.
        name: the data set's name.
        label_level: which part of the path is the label; genre and subgenre are columns in any case.

    Raises:
        InvalidInput: no such folder, no audio in it, or audio that does not lie in a genre and a subgenre.
    """
    if label_level not in get_args(LabelLevel):
        raise InvalidInput(
            "data.label_level", given=label_level, allowed=", ".join(get_args(LabelLevel)), remedy="Choose one."
        )
    tree, audio, problems, elsewhere = _read(recordings)
    refuse_if_any(
        problems,
        recordings,
        allowed="a tree of <genre>/<subgenre>/<track>",
        remedy="Move every track into a genre and a subgenre, or use data.source=folder.",
    )
    clips = tuple(_clip(path, size_bytes, label_level) for path, size_bytes in audio.items())
    return Manifest(name=name, root=tree.root, endpoint_url=tree.endpoint_url, clips=clips, left_out=tuple(elsewhere))


def check(recordings: Recordings) -> list[str]:
    """What is wrong with a tree, in words: what `manifest` refuses, then what a listener might not have meant."""
    _, audio, problems, elsewhere = _read(recordings)
    genres = defaultdict(set)
    for path in audio:
        if path.count("/") == 2:
            genre, subgenre, _ = path.split("/")
            genres[subgenre].add(genre)
    return [
        *problems,
        *counted("links that lead nowhere", [path for path, size in audio.items() if size is None]),
        *counted(f"audio files outside {_FOLDER}/ that are left out", elsewhere),
        *counted("subgenres of more than one genre", [name for name, found in genres.items() if len(found) > 1]),
    ]


def _read(recordings: Recordings) -> tuple[Recordings, dict[str, int | None], list[str], list[str]]:
    """The folder of the genres, tracks with their sizes, problems, and audio that lies elsewhere."""
    audio, _ = find_audio(recordings)
    prefix = f"{_FOLDER}/"
    elsewhere = [path for path in audio if not path.startswith(prefix)]
    if len(elsewhere) < len(audio):
        recordings = recordings.below(_FOLDER)
        audio = {path.removeprefix(prefix): size for path, size in audio.items() if path.startswith(prefix)}
    else:
        elsewhere = []
    if not audio:
        return recordings, {}, ["no audio in it" if recordings.root_exists() else "no such folder"], []
    misplaced = [path for path in audio if path.count("/") != 2]
    return recordings, audio, counted("audio files that do not lie in <genre>/<subgenre>/", misplaced), elsewhere


def _clip(path: str, size_bytes: int | None, label_level: LabelLevel) -> Clip:
    genre, subgenre, _ = path.split("/")
    labels = {"genre/subgenre": f"{genre}/{subgenre}", "genre": genre, "subgenre": subgenre}
    return Clip(
        clip_id=path,
        recording_id=without_extension(path),
        uri=path,
        labels=(labels[label_level],),
        size_bytes=size_bytes,
        columns={"genre": genre, "subgenre": subgenre},
    )
