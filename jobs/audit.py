"""Reports how far two lists of clips overlap, for example a train and a validation list from anywhere.

python jobs/audit.py first=train.csv second=validation.csv audio_root=<folder of the audio>

Compared are clip ids, groups (recording, speaker …) and, with audio_root, the decoded audio itself. Columns are found
by their usual names, or given by id_column, group_column and uri_column. Values match when they are written alike;
spaces around them do not count, and a whole number is the same with and without its point (2.0 is 2, 007 is not 7).

Exit code: 0 if nothing overlaps; 1 if anything does; 2 for bad input, and when nothing was found to overlap but a
comparison that was asked for (by audio_root or a named column) could not be made, or not over all rows.
"""

import sys
from collections.abc import Sequence

from jobs.audit_tables import TableAuditSettings, run_table_audit
from jobs.console import run_job
from jobs.settings import describe, parse_settings


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_audit, argv, usage=f"{__doc__}\nSettings and their defaults:\n{describe(TableAuditSettings)}")


def _audit(words: Sequence[str]) -> int:
    return run_table_audit(parse_settings(TableAuditSettings, [word for word in words if word != "--smoke"]))


if __name__ == "__main__":
    sys.exit(main())
