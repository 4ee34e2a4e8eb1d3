"""The leaderboard and the HTML page of a sweep, or the scores of an experiment, from the results table alone.

python jobs/report.py storage.uri=s3://bucket/prefix                  the newest sweep or experiment
python jobs/report.py experiment=7                                    by its number, as jobs/experiments.py lists them
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
from storage.errors import InvalidInput
from storage.experiments import find_experiment
from storage.object_store import open_store
from storage.results_table import ResultsTable


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportJobSettings:
    """Of what, and for whom.

    Attributes:
        sweep_id: of a sweep or an experiment; empty for the newest.
        experiment: the number of an experiment instead; 0 for none.
        format: for people (text) or for programs (json).
    """

    sweep_id: str = ""
    experiment: int = 0
    format: Literal["text", "json"] = "text"
    storage: StorageSettings = field(default_factory=StorageSettings)
    report: ReportSettings = field(default_factory=ReportSettings)

    def __post_init__(self) -> None:
        if self.experiment and self.sweep_id:
            raise InvalidInput(
                "experiment",
                given=f"{self.experiment}, and sweep_id={self.sweep_id}",
                allowed="one of the two",
                remedy="Leave one out.",
            )


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_report, argv, usage=usage(__doc__, ReportJobSettings))


def _report(words: Sequence[str]) -> None:
    settings = parse_settings(ReportJobSettings, words)
    store = open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url)
    results = ResultsTable(store)
    sweep_id = _sweep_id(settings, results)
    if settings.format == "json":
        sweep = load_sweep(results, sweep_id)
        print(to_json(fold_rows(sweep) if is_experiment(sweep) else leaderboard(sweep)))
        return
    sweep, path = write_report(store, sweep_id, settings.report)
    print_scores(sweep)
    say(f"report: {path}")


def _sweep_id(settings: ReportJobSettings, results: ResultsTable) -> str:
    if settings.experiment:
        return find_experiment(results.store, settings.experiment).experiment_id
    return settings.sweep_id or newest_sweep(results)


if __name__ == "__main__":
    sys.exit(main())
