"""Recordings without labels, for a trained model: one file, or all audio files below a folder or s3:// prefix.

Enters: a place. Leaves: a manifest whose clips have no labels.
"""

from collections.abc import Callable

from pipelines.files.content_marks import mark_contents
from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip, Manifest
from pipelines.sources.trees import find_audio, without_extension
from storage.errors import InvalidInput

OnProgress = Callable[[int, int], None]


def one_file(place: str, *, endpoint_url: str | None = None) -> Manifest | None:
    """The manifest of a single file, whatever its extension; None where the place is no file.

    Raises:
        InvalidInput: the place has a form that nothing reads.
    """
    root = _recordings(place, endpoint_url)
    is_bucket = not root.is_local and "/" not in root.root.removeprefix("s3://")
    if is_bucket or (root.is_local and root.root_exists()):
        return None
    recordings, name = root.parent()
    if recordings.size_bytes(name) is None:
        return None
    return _manifest(recordings, {name: None}, name=name, left_out=(), on_progress=lambda done, in_all: None)


def all_files(
    place: str,
    *,
    endpoint_url: str | None = None,
    on_progress: OnProgress = lambda done, in_all: None,
) -> Manifest:
    """The manifest of every audio file, by its extension, below a folder or prefix.

    Raises:
        InvalidInput: there is no such folder, or no audio in it.
    """
    recordings = _recordings(place, endpoint_url)
    audio, others = find_audio(recordings)
    if not audio:
        there = f"{len(others)} files, none of them audio" if others else "nothing"
        if recordings.is_local and not recordings.root_exists():
            there = "no such file or folder"
        raise InvalidInput(
            "files",
            given=f"{place} ({there})",
            allowed="an audio file, or a folder or s3:// prefix with audio files",
            remedy="Check the path.",
        )
    name = recordings.root.rpartition("/")[2]
    return _manifest(recordings, audio, name=name, left_out=tuple(others), on_progress=on_progress)


def _recordings(place: str, endpoint_url: str | None) -> Recordings:
    try:
        return Recordings(place, endpoint_url=endpoint_url)
    except InvalidInput as e:
        field = "files" if e.field == "data.root" else e.field
        raise InvalidInput(field, given=e.given, allowed=e.allowed, remedy=e.remedy) from e


def _manifest(
    recordings: Recordings,
    sizes: dict[str, int | None],
    *,
    name: str,
    left_out: tuple[str, ...],
    on_progress: OnProgress,
) -> Manifest:
    clips = tuple(
        Clip(clip_id=path, recording_id=without_extension(path), uri=path, labels=(), size_bytes=size_bytes)
        for path, size_bytes in sizes.items()
    )
    manifest = Manifest(
        name=name.lstrip(".") or "recordings",
        root=recordings.root,
        endpoint_url=recordings.endpoint_url,
        clips=clips,
        left_out=left_out,
    )
    return mark_contents(manifest, recordings, on_progress=on_progress)
