"""Writes the Optuna studies of a sweep into one file, for optuna-dashboard and for Optuna itself.

python jobs/export_study.py storage.uri=s3://bucket/prefix sweep=first-0123456789ab into=study.db
optuna-dashboard sqlite:///study.db

One study per architecture, rebuilt from the results table: every trial with its parameters, its objective epoch by
epoch (steps are seed-epochs), its state (stopped ones PRUNED) and its fate in words. A running sweep can be exported;
the file is a copy and changes nothing.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.command_line import parse_settings, usage
from jobs.console import run_job, say
from jobs.given_model import require_places
from jobs.places import StorageSettings
from reports import export_studies, load_sweep, newest_sweep
from storage.object_store import open_store
from storage.results_table import ResultsTable


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportStudySettings:
    """What goes where.

    Attributes:
        sweep: its id; empty for the newest.
        into: a new file: `.db`, `.sqlite` or `.sqlite3` for SQLite, `.log` or `.journal` for Optuna's journal.
        storage: where the sweep was run.
    """

    sweep: str = ""
    into: str = ""
    storage: StorageSettings = field(default_factory=StorageSettings)


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_export, argv, usage=usage(__doc__, ExportStudySettings))


def _export(words: Sequence[str]) -> None:
    settings = parse_settings(ExportStudySettings, words)
    require_places(settings, ("into",))
    results = ResultsTable(open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url))
    sweep = load_sweep(results, settings.sweep or newest_sweep(results))
    studies = export_studies(sweep, settings.into)
    for name, num_trials in studies:
        say(f"study {name!r}: {num_trials} trials")
    say(f"{len(studies)} studies in {settings.into}")


if __name__ == "__main__":
    sys.exit(main())
