"""The leaderboard and the HTML page of a sweep, or the scores of an experiment, from the results table alone.

python jobs/report.py storage.uri=s3://bucket/prefix                  the newest sweep or experiment
python jobs/report.py sweep_id=first-0123456789ab format=json         the leaderboard for programs
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from jobs.console import run_job, say
from jobs.settings import ReportSettings, StorageSettings, parse_settings, usage
from jobs.stages import print_scores, write_report
from reports import fold_rows, is_experiment, leaderboard, load_sweep, newest_sweep, to_json
from storage.object_store import open_store
from storage.results_table import ResultsTable


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportJobSettings:
    """Which sweep (empty: the newest), and whether for people (text) or for programs (json)."""

    sweep_id: str = ""
    format: Literal["text", "json"] = "text"
    storage: StorageSettings = field(default_factory=StorageSettings)
    report: ReportSettings = field(default_factory=ReportSettings)


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_report, argv, usage=usage(__doc__, ReportJobSettings))


def _report(words: Sequence[str]) -> None:
    settings = parse_settings(ReportJobSettings, words)
    store = open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url)
    results = ResultsTable(store)
    sweep_id = settings.sweep_id or newest_sweep(results)
    if settings.format == "json":
        sweep = load_sweep(results, sweep_id)
        print(to_json(fold_rows(sweep) if is_experiment(sweep) else leaderboard(sweep)))
        return
    sweep, path = write_report(store, sweep_id, settings.report)
    print_scores(sweep)
    say(f"report: {path}")


if __name__ == "__main__":
    sys.exit(main())
