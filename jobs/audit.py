"""Audits a whole data set, or how far two lists of clips overlap.

python jobs/audit.py data.root=<ESC-50 tree> storage.uri=s3://bucket/prefix    a data set whose features are stored
python jobs/audit.py first=train.csv second=validation.csv audio_root=<folder of the audio>    two CSV files

Of a data set: exact and near duplicates (near ones across groups), conflicts of labels, overlap of the split, silence,
clipping, band-limited sources. The findings are a Parquet table in the store (its columns: storage/findings.py) and an
HTML page with spectrograms and players in report.folder, of about 120 kB for each of at most 8 × `examples` findings.

Of two CSV files: clip ids, groups (recording, speaker …) and, with audio_root, the decoded audio itself. Columns are
found by their usual names, or given by id_column, group_column and uri_column. Values match when they are written
alike; spaces around them do not count, and a whole number is the same with and without its point (2.0 is 2, 007 is not
7). Recordings are the same when their decoded samples are; near duplicates need features.

Exit code: 0 if nothing overlaps; 1 if anything does (of a data set: a copy in another group, a conflict of labels, an
overlap of the split); 2 for bad input, and when nothing was found to overlap but a comparison that was asked for (by
audio_root or a named column) could not be made, or not over all rows. Poor sound alone does not change it.
"""

import dataclasses
import sys
from collections.abc import Sequence

from jobs.audit_dataset import DatasetAuditJobSettings, run_dataset_audit
from jobs.audit_tables import TableAuditSettings, run_table_audit
from jobs.command_line import describe, parse_settings
from jobs.console import run_job
from storage.errors import InvalidInput

_USAGE = f"""{__doc__}
Settings and their defaults, of two CSV files:
{describe(TableAuditSettings)}

Settings and their defaults, of a data set:
{describe(DatasetAuditJobSettings)}"""
_TABLE_KEYS = {field.name for field in dataclasses.fields(TableAuditSettings)}


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_audit, argv, usage=_USAGE)


def _audit(words: Sequence[str]) -> int:
    words = [word for word in words if word != "--smoke"]
    keys = {word.partition("=")[0] for word in words}
    asks_for_tables = bool(keys & _TABLE_KEYS)
    if asks_for_tables and any(key.startswith("data.") for key in keys):
        raise InvalidInput(
            "data.root, first",
            given=", ".join(sorted(keys)),
            allowed="a data set or two CSV files",
            remedy=f"{', '.join(sorted(keys & _TABLE_KEYS))} is for CSV files: leave it out, or run the audit twice.",
        )
    if asks_for_tables:
        return run_table_audit(parse_settings(TableAuditSettings, words))
    if not words:
        raise InvalidInput(
            "data.root, first",
            given="",
            allowed="a data set or two CSV files",
            remedy="Give data.root=<tree> and storage.uri=…, or first=<file.csv> second=<file.csv>.",
        )
    return run_dataset_audit(parse_settings(DatasetAuditJobSettings, words))


if __name__ == "__main__":
    sys.exit(main())
