"""Any tree whose first folders are the labels: `<label>/…/<recording>`, in whatever format the decoder reads."""

from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip, Manifest
from pipelines.sources.trees import counted, find_audio, refuse_if_any, without_extension


def manifest(recordings: Recordings, name: str) -> Manifest:
    """Reads a tree of labels.

    Args:
        recordings: the folder that holds a folder for each label.
        name: the data set's name.

    Raises:
        InvalidInput: no such folder, no audio in it, or audio that lies in no folder.
    """
    audio, others, problems = _read(recordings)
    refuse_if_any(
        problems,
        recordings,
        allowed="a folder for each label, with audio in it",
        remedy="Move every recording into the folder of its label.",
    )
    clips = tuple(_clip(path, size_bytes) for path, size_bytes in audio.items())
    return Manifest(
        name=name, root=recordings.root, endpoint_url=recordings.endpoint_url, clips=clips, left_out=tuple(others)
    )


def check(recordings: Recordings) -> list[str]:
    """What is wrong with a tree, in words: what `manifest` refuses, then what it leaves out."""
    audio, others, problems = _read(recordings)
    return [
        *problems,
        *counted("links that lead nowhere", [path for path, size in audio.items() if size is None]),
        *counted("files that are no audio by their extension and are left out", others),
    ]


def _read(recordings: Recordings) -> tuple[dict[str, int | None], list[str], list[str]]:
    """Audio with sizes, other files, and problems."""
    audio, others = find_audio(recordings)
    if not audio:
        return {}, others, ["no audio in it" if recordings.root_exists() else "no such folder"]
    loose = [path for path in audio if "/" not in path]
    return audio, others, counted("audio files that lie in no folder and have no label", loose)


def _clip(path: str, size_bytes: int | None) -> Clip:
    return Clip(
        clip_id=path,
        recording_id=without_extension(path),
        uri=path,
        labels=(path.partition("/")[0],),
        size_bytes=size_bytes,
    )
