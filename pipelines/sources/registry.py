"""Which sources there are, by name: one file per corpus, which is a `Source`."""

from collections.abc import Callable
from typing import Protocol

from pipelines.files.content_marks import mark_contents
from pipelines.files.recordings import Recordings, recordings_of
from pipelines.manifest import Manifest
from pipelines.sources import birdclef, csv_table, emodb, esc50, folder, genres, radioml, synthetic
from pipelines.sources.genres import LabelLevel
from storage.errors import InvalidInput, nearest


class Source(Protocol):
    """What a corpus's file owes. Both functions may be called again, and change nothing that is there."""

    def manifest(self, recordings: Recordings, name: str) -> Manifest:
        """The manifest of the tree; its root is what the clips' uris are relative to.

        Raises:
            InvalidInput: with the first thing that it cannot use and how many more there are. A recording in its place
                that cannot become a clip is refused, never left out.
        """
        ...

    def check(self, recordings: Recordings) -> list[str]:
        """What is wrong with the tree, in words, one line each; empty when it is sound.

        Begins with what `manifest` refuses; then comes what it takes but the published corpus does not have.
        """
        ...


_SOURCES: dict[str, Source] = {
    "birdclef": birdclef,
    "csv": csv_table,
    "emodb": emodb,
    "esc50": esc50,
    "folder": folder,
    "genres": genres,
    "radioml": radioml,
    "synthetic": synthetic,
}


# Where a corpus may be downloaded by anybody, without an account.
_ARCHIVES = {"esc50": esc50.ARCHIVE_URL}


def list_sources() -> tuple[str, ...]:
    """The names of all sources, sorted."""
    return tuple(sorted(_SOURCES))


def read_manifest(
    source: str,
    *,
    root: str,
    name: str,
    endpoint_url: str | None = None,
    label_level: LabelLevel | None = None,
    on_progress: Callable[[int, int], None] = lambda done, in_all: None,
) -> Manifest:
    """Reads the data set at `root` with the source of that name, and marks the content of its recordings.

    Args:
        endpoint_url: the S3 server of the recordings; None for the environment's.
        label_level: of `genres`; None for its default.
        on_progress: called with the number of files marked and of all.

    Raises:
        InvalidInput: unknown source, a tree that is not what the source expects, or an option of another source.
    """
    reader, recordings = find_source(source), Recordings(root, endpoint_url=endpoint_url)
    if label_level is None:
        manifest = reader.manifest(recordings, name)
    elif source == "genres":
        manifest = genres.manifest(recordings, name, label_level=label_level)
    else:
        raise InvalidInput(
            "data.label_level", given=label_level, allowed=f"null for data.source={source}", remedy="Leave it out."
        )
    return mark_contents(manifest, recordings_of(manifest), on_progress=on_progress)


def check_tree(source: str, *, root: str, endpoint_url: str | None = None) -> list[str]:
    """What is wrong with the data set at `root`, in words; empty when it is sound.

    Raises:
        InvalidInput: unknown source, or a root that is none.
    """
    return find_source(source).check(Recordings(root, endpoint_url=endpoint_url))


def find_source(name: str) -> Source:
    """The source of that name.

    Raises:
        InvalidInput: there is none.
    """
    if name not in _SOURCES:
        raise InvalidInput(
            "data.source", given=name, allowed=", ".join(list_sources()), remedy=f"{nearest(name, _SOURCES)}Choose one."
        )
    return _SOURCES[name]


def archive_url(source: str) -> str:
    """Where the public archive of a corpus lies.

    Raises:
        InvalidInput: there is none, or no such source.
    """
    if source not in _ARCHIVES:
        raise InvalidInput(
            "source", given=source, allowed=", ".join(_ARCHIVES), remedy="Give url=<its archive>, or fetch it by hand."
        )
    return _ARCHIVES[source]
