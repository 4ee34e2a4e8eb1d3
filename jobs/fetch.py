"""Downloads the public archive of a data set, verifies it and unpacks it. Run again, it finds the tree and rests.

python jobs/fetch.py source=esc50 root=workspace/data/esc50

No checksum of the ESC-50 archive is published: the job verifies the archive's own checksums and the tree, and prints
the SHA-256 that it got. Give that as sha256=… to accept no other archive. url=… takes the archive from elsewhere, a
path too.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.command_line import parse_settings, usage
from jobs.console import progress, run_job, say
from pipelines.sources import archive_url, check_tree, find_source
from pipelines.sources.archive import fetch_tree
from storage.errors import InvalidInput


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchSettings:
    """Which data set, and where it goes."""

    source: str = "esc50"
    root: str = ""
    url: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", self.sha256):
            raise InvalidInput("sha256", given=self.sha256, allowed="64 hexadecimal digits", remedy="Correct it.")


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_fetch, argv, usage=usage(__doc__, FetchSettings))


def _fetch(words: Sequence[str]) -> None:
    settings = parse_settings(FetchSettings, words)
    if not settings.root:
        raise InvalidInput("root", given="", allowed="a folder", remedy="Give root=<folder>.")
    url = settings.url or archive_url(settings.source)
    with progress("fetch") as tell:
        found = fetch_tree(
            find_source(settings.source),
            url,
            Path(settings.root),
            sha256=settings.sha256,
            on_progress=lambda step, done, in_all: tell(done, in_all, step),
        )
    if found is None:
        say(f"{settings.root} is there already")
    else:
        say(f"{url}: sha256 {found}" + ("" if settings.sha256 else f" (sha256={found} accepts no other archive)"))
    for problem in check_tree(settings.source, root=settings.root):
        say(f"note: {problem}")
    say(f"data set in {settings.root}")


if __name__ == "__main__":
    sys.exit(main())
