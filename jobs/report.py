"""The leaderboard and the HTML page of a sweep, or the scores of an experiment, from the results table alone.

python jobs/report.py storage.uri=s3://bucket/prefix                  the newest sweep or experiment
python jobs/report.py experiment=7                                    by its number, as jobs/experiments.py lists them
python jobs/report.py sweep_id=first-0123456789ab format=json         leaderboard and statistics for programs
python jobs/report.py sweep=[first-0123456789ab,second-ba9876543210]  several sweeps on one page
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from jobs.command_line import parse_settings, usage
from jobs.console import run_job, say
from jobs.places import ReportSettings, StorageSettings
from jobs.stages import print_scores, write_page, write_report
from reports import (
    fold_rows,
    is_experiment,
    load_sweep,
    newest_sweep,
    render_comparison,
    sweep_json,
    to_json,
)
from reports.related import sweep_of
from storage.errors import InvalidInput
from storage.experiments import find_experiment
from storage.identity import content_hash
from storage.object_store import open_store
from storage.results_table import ResultsTable


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportJobSettings:
    """Of what, and for whom.

    Attributes:
        sweep_id: of a sweep or an experiment; empty for the newest.
        sweep: ids of several sweeps instead, which are compared on one page; with a single one as `sweep_id`.
        experiment: the number of an experiment instead; 0 for none.
        format: for people (text) or for programs (json).
    """

    sweep_id: str = ""
    sweep: tuple[str, ...] = ()
    experiment: int = 0
    format: Literal["text", "json"] = "text"
    storage: StorageSettings = field(default_factory=StorageSettings)
    report: ReportSettings = field(default_factory=ReportSettings)

    def __post_init__(self) -> None:
        named = {"experiment": self.experiment, "sweep_id": self.sweep_id, "sweep": self.sweep}
        given = [f"{name}={value}" for name, value in named.items() if value]
        if len(given) > 1:
            raise InvalidInput(
                " and ".join(name for name, value in named.items() if value),
                given=" ".join(given),
                allowed="one of the two" if len(given) == 2 else "one of the three",
                remedy="Leave the others out.",
            )
        if len(set(self.sweep)) < len(self.sweep):
            raise InvalidInput("sweep", given=list(self.sweep), allowed="none twice", remedy="Name each once.")


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_report, argv, usage=usage(__doc__, ReportJobSettings))


def _report(words: Sequence[str]) -> None:
    settings = parse_settings(ReportJobSettings, words)
    store = open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url)
    results = ResultsTable(store)
    if len(settings.sweep) > 1:
        _compare(settings, results)
        return
    sweep_id = _sweep_id(settings, results)
    whole = sweep_of(results, sweep_id)
    if settings.format == "json":
        sweep = load_sweep(results, whole)
        print(to_json(fold_rows(sweep)) if is_experiment(sweep) else sweep_json(sweep))
        return
    if whole != sweep_id:
        say(f"{sweep_id} is told on the page of its sweep, {whole}")
    sweep, path = write_report(store, whole, settings.report)
    print_scores(sweep)
    say(f"report: {path}")


def _compare(settings: ReportJobSettings, results: ResultsTable) -> None:
    sweeps = [load_sweep(results, sweep_id) for sweep_id in settings.sweep]
    for sweep in sweeps:
        whole = sweep_of(results, sweep.sweep_id)
        if is_experiment(sweep) or whole != sweep.sweep_id:
            raise InvalidInput(
                "sweep",
                given=sweep.sweep_id,
                allowed="ids of sweeps, not of experiments, confirmations or audits",
                remedy="Leave it out."
                if is_experiment(sweep)
                else f"Say {whole}: what follows a sweep is told with it.",
            )
    if settings.format == "json":
        told = ",\n".join(f"{json.dumps(sweep.sweep_id)}: {sweep_json(sweep)}" for sweep in sweeps)
        print(f"{{{told}}}")
        return
    for sweep in sweeps:
        print_scores(sweep)
    page = render_comparison(sweeps)
    name = f"comparison-{content_hash([sweep.sweep_id for sweep in sweeps], length=12)}.html"
    results.store.put(f"reports/{name}", page.encode())
    say(f"report: {write_page(page, name, settings.report)}")


def _sweep_id(settings: ReportJobSettings, results: ResultsTable) -> str:
    if settings.experiment:
        return find_experiment(results.store, settings.experiment).experiment_id
    return settings.sweep_id or next(iter(settings.sweep), "") or newest_sweep(results)


if __name__ == "__main__":
    sys.exit(main())
