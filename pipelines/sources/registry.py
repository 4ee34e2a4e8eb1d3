"""Which sources there are: one file per corpus, one function `manifest(root, name)` in each."""

from collections.abc import Callable

from pipelines.manifest import Manifest
from pipelines.sources import esc50, table
from storage.errors import InvalidInput, nearest

_SOURCES: dict[str, Callable[[str, str], Manifest]] = {"esc50": esc50.manifest, "table": table.manifest}


def list_sources() -> tuple[str, ...]:
    return tuple(sorted(_SOURCES))


def read_manifest(source: str, *, root: str, name: str) -> Manifest:
    """Reads the data set at `root` with the source of that name.

    Raises:
        InvalidInput: unknown source, or a tree that is not what the source expects.
    """
    if source not in _SOURCES:
        raise InvalidInput(
            "data.source",
            given=source,
            allowed=", ".join(list_sources()),
            remedy=f"{nearest(source, _SOURCES)}Choose one.",
        )
    return _SOURCES[source](root, name)
