"""Says in words what is wrong with a data set: missing files, wrong counts, names off the pattern, an unreadable table.

python jobs/check.py data.source=emodb data.root=<EmoDB tree>

Exit code: 0 if the data set is sound, 1 if there is anything to say, 2 for bad input.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.command_line import parse_settings, usage
from jobs.console import run_job, say
from jobs.settings import DataSettings
from jobs.stages import require_root
from pipelines.sources import check_tree


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckSettings:
    """Which recordings, as for every job."""

    data: DataSettings = field(default_factory=DataSettings)


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_check, argv, usage=usage(__doc__, CheckSettings))


def _check(words: Sequence[str]) -> int:
    data = parse_settings(CheckSettings, words).data
    require_root(data)
    problems = check_tree(data.source, root=data.root, endpoint_url=data.endpoint_url)
    for problem in problems:
        say(problem)
    say(f"{data.root}: problems found: {len(problems)}" if problems else f"{data.root}: sound")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
