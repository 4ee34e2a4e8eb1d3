"""Prints what every column of the results tables means, its type and its unit, in Markdown.

python jobs/describe_tables.py [table=trials] [into=docs/results_table.md]
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.command_line import parse_settings, usage
from jobs.console import run_job, say
from storage.errors import InvalidInput
from storage.schema_docs import describe_table, describe_tables

BEGIN, END = "<!-- columns: begin -->\n", "<!-- columns: end -->\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class DescribeSettings:
    """Which table; empty for all.

    Attributes:
        into: a page whose part between two marks is replaced by the description of all tables; empty to print it.
    """

    table: str = ""
    into: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_describe, argv, usage=usage(__doc__, DescribeSettings))


def _describe(words: Sequence[str]) -> None:
    settings = parse_settings(DescribeSettings, words)
    if settings.into:
        _write(Path(settings.into))
    else:
        print(describe_table(settings.table) if settings.table else describe_tables())


def _write(page: Path) -> None:
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        marks = f"a page with the lines {BEGIN.strip()} and {END.strip()}"
        raise InvalidInput("into", given=str(page), allowed=marks, remedy="Put them where the columns belong.")
    head, _, rest = text.partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n{describe_tables()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    say(f"wrote {page}")


if __name__ == "__main__":
    sys.exit(main())
