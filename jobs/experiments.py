"""Every experiment of a store: number, name, date, state and score. Removes one that did not come to a good end.

python jobs/experiments.py storage.uri=s3://bucket/prefix
python jobs/experiments.py storage.uri=s3://bucket/prefix remove=7

What is removed: its rows in the results tables, checkpoints, models, embeddings, predictions and reports. Features and
splits stay; jobs/collect.py finds those that nobody needs. Its number is not given again, and the command that began it
begins a new one.
"""

import datetime
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.command_line import parse_settings, usage
from jobs.console import print_table, run_job, say
from jobs.places import StorageSettings
from reports.experiment_list import LIST_HEADER, list_lines, summarize
from storage.errors import InvalidInput, hold_rules
from storage.experiments import Experiment, find_experiment, list_experiments, objects_of_experiment, remove_experiment
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentsSettings:
    """Where, and which one goes.

    Attributes:
        remove: the number of an experiment that has failed or is unfinished; 0 removes none.
        min_idle_minutes: nothing of it was written for so long, or it is taken to be under way: a run stores a
            checkpoint every five minutes.
    """

    storage: StorageSettings = field(default_factory=StorageSettings)
    remove: int = 0
    min_idle_minutes: float = 15.0

    def __post_init__(self) -> None:
        rules = {
            "remove": (self.remove >= 0, "the number of an experiment, or 0"),
            "min_idle_minutes": (self.min_idle_minutes >= 0, "0 or more"),
        }
        hold_rules("experiments", self, rules)


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_experiments, argv, usage=usage(__doc__, ExperimentsSettings))


def _experiments(words: Sequence[str]) -> None:
    settings = parse_settings(ExperimentsSettings, words)
    store = open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url)
    if settings.remove:
        _remove(store, find_experiment(store, settings.remove), settings.min_idle_minutes)
        return
    results = ResultsTable(store)
    lines = list_lines(summarize(results, experiment) for experiment in list_experiments(store, warn=say))
    if not lines:
        say(f"{store.uri} holds no experiment")
        return
    print_table(f"Experiments in {store.uri}", LIST_HEADER, lines)
    say("test score: mean over folds, ± over seeds; accuracy, or macro AUC of several labels")


def _remove(store: ObjectStore, experiment: Experiment, min_idle_minutes: float) -> None:
    """Raises: InvalidInput: it is finished, or somebody is at work on it."""
    if summarize(ResultsTable(store), experiment).state == "finished":
        raise InvalidInput(
            "remove",
            given=experiment.number,
            allowed="an experiment that has failed or is unfinished",
            remedy="A finished one stays, as its numbers may stand in a paper.",
        )
    objects = list(objects_of_experiment(store, experiment))
    now = datetime.datetime.now(datetime.UTC).timestamp()
    idle_minutes = max(now - max(info.modified_at for info in objects), 0.0) / 60  # the store has a clock of its own
    if idle_minutes < min_idle_minutes:
        raise InvalidInput(
            "remove",
            given=experiment.number,
            allowed=f"an experiment of which nothing was written for {min_idle_minutes:g} minutes",
            remedy=f"The newest is {idle_minutes:.1f} minutes old: stop its job, or lower min_idle_minutes.",
        )
    remove_experiment(store, experiment)
    say(f"removed experiment {experiment.number:04d}, {experiment.experiment_id}: {len(objects)} objects")


if __name__ == "__main__":
    sys.exit(main())
