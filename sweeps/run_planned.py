"""Trains trials that are all known beforehand, each to its end, or what an earlier process left of them.

Enters: the trials with the splits they are tested on, features at rest, a store and an initialised Ray. Leaves: rows in
the results table, as of a sweep. Trials are Ray tasks: as many at a time as the cluster holds.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import ray

from cluster.versions import Versions
from cluster.waiting import wait_for_node
from storage.features import Features
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from storage.split import Split
from sweeps.adoption import NOTHING, Adopted, adopt, earlier_runs
from sweeps.fold_task import FoldStarter, Place, Turn
from sweeps.ledger import Ledger
from sweeps.news import FoldEnded, FoldNews, News
from sweeps.records import Suggestion, TrialRecord
from sweeps.resources import TrialNeeds, trial_resources
from sweeps.train_turns import Failure, delete_checkpoints, train_turns
from sweeps.trial_counts import TrialCounts
from training import TrialConfig, TrialData
from training.fuse_choice import FuseSeeds

Embed = Callable[[list[TrialConfig]], Mapping[str, TrialData]]


class RunNeeds(TrialNeeds, Protocol):
    """The settings of whoever runs planned trials."""

    @property
    def max_concurrent_trials(self) -> int: ...

    @property
    def max_failures(self) -> int: ...

    @property
    def keep_models(self) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTrials:
    """Trials that follow from nothing that any of them comes to.

    Attributes:
        run_id: under which their rows go.
        section: what users write before `needs` (`train`), for messages.
        of_sweep: the sweep that these follow, where they do: what is trained there already, or in what else followed
            it, is taken over.
    """

    run_id: str
    suggestions: tuple[Suggestion, ...]
    needs: RunNeeds
    section: str
    device: Literal["cpu", "cuda"]
    fuse_seeds: FuseSeeds
    of_sweep: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedOutcome:
    """What this process found and did: trials that were complete before, that it completed, and that failed.

    Attributes:
        num_found: complete before, or all of whose seeds were taken over.
        failed: number → why, now or before.
    """

    num_found: int
    num_run: int
    failed: Mapping[int, Failure]

    @property
    def num_open(self) -> int:
        """Trials that the same call tries again."""
        return sum(failure.is_open for failure in self.failed.values())


def run_planned(
    planned: PlannedTrials,
    load_features: Callable[[], Features],
    splits: Mapping[str, Split],
    store: ObjectStore,
    *,
    sweep_row: Mapping[str, Any],
    folder: str | None = None,
    feature_spec: Mapping[str, Any] | None = None,
    on_news: Callable[[News], None] = lambda news: None,
    embed: Embed = lambda configs: {},
) -> PlannedOutcome:
    """Trains and records every trial that is not complete.

    Args:
        load_features: reads those of all clips, if any trial needs them; they travel once to every node, and the driver
            keeps none.
        splits: by their hash.
        folder: of an experiment in the store, for embeddings of test clips; None where none are kept.
        feature_spec: of the features, field by field, for the cards of the models; None where none are kept.
        sweep_row: the remaining columns of the `sweeps` table, recorded once.
        on_news: hears of trials that have ended before; then of every epoch, seed and trial that is in the results
            table, of a resumed trial's last ones again.
        embed: trial_id → its data with embeddings, of those trials that can train their heads alone; asked once, for
            trials that are to be trained.

    Raises:
        StorageError: the store failed; nothing is lost, and the same call goes on.
        VersionsDiffer: a node that has come meanwhile has other packages; likewise.
    """
    num_cpus, num_gpus = trial_resources(planned.needs, device=planned.device, section=planned.section)
    ledger = Ledger(ResultsTable(store), planned.run_id)
    records, adopted = _begin(planned, ledger, sweep_row)
    ended = [record for record in records if record.state is not None]
    on_news = _counted(planned, records, on_news)
    for record in ended:  # a process that died between a trial's row and its clean-up left checkpoints behind
        if record.state == "finished":  # that of a failed one's last healthy epoch stays
            delete_checkpoints(ledger, record.suggestion)
        on_news(FoldEnded(number=record.suggestion.number, fold=record.suggestion.fold, state=record.state))
    waiting = [_turn(record.suggestion, num_gpus, adopted) for record in records if record.state is None]
    num_waiting = len(waiting)
    if waiting:
        wait_for_node(num_cpus=num_cpus, num_gpus=num_gpus)
    embedded = embed([turn.suggestion.config for turn in waiting])
    starter = FoldStarter(
        place=Place(
            run_id=planned.run_id,
            folder=folder,
            store=store,
            feature_spec=None if planned.needs.keep_models == "none" else feature_spec,
            fuse_seeds=planned.fuse_seeds,
            versions=Versions.here(),
        ),
        splits=splits,
        log_mels=_shared(waiting, embedded, load_features),
        embedded=embedded,
        num_cpus=num_cpus,
        max_failures=planned.needs.max_failures,
    )
    failed_now = train_turns(waiting, starter, ledger, planned.needs.max_concurrent_trials or num_waiting, on_news)
    failed_before = [record.suggestion.number for record in ended if record.state == "failed"]
    before = {number: Failure(reason="training failed before", is_open=False) for number in failed_before}
    return PlannedOutcome(
        num_found=len(ended) - len(before),
        num_run=num_waiting - len(failed_now),
        failed={**before, **failed_now},
    )


def _counted(
    planned: PlannedTrials, records: Sequence[TrialRecord], on_news: Callable[[News], None]
) -> Callable[[News], None]:
    """Whoever hears of news, with their trials and seed-epochs counted before."""
    architectures = {one.number: one.config.architecture for one in planned.suggestions}
    counts = TrialCounts(planned.run_id, Counter(architectures.values()), records)

    def hear(heard: News) -> None:
        if isinstance(heard, FoldNews):
            counts.epoch(heard.number, architectures[heard.number], heard.news.seed_epoch)
        elif isinstance(heard, FoldEnded):
            counts.end(heard.number, architectures[heard.number], heard.state)
        on_news(heard)

    return hear


def _begin(
    planned: PlannedTrials, ledger: Ledger, sweep_row: Mapping[str, Any]
) -> tuple[list[TrialRecord], dict[str, Adopted]]:
    """Records the run and its trials, takes over what is trained already, and reads what became of them."""
    ledger.start({**sweep_row, "of_sweep": planned.of_sweep})
    for suggestion in planned.suggestions:
        ledger.suggest(suggestion)
    ours = {suggestion.config.trial_id for suggestion in planned.suggestions}
    records = [record for record in ledger.records() if record.suggestion.config.trial_id in ours]
    if planned.of_sweep is None:
        return records, {}
    results = ResultsTable(ledger.store)
    adopted = adopt(
        results,
        planned.run_id,
        [record.suggestion.config for record in records if record.state is None],
        of_runs=earlier_runs(results, planned.of_sweep, before=planned.run_id),
    )
    return [_ended_by_adoption(record, adopted, ledger) for record in records], adopted


def _ended_by_adoption(record: TrialRecord, adopted: Mapping[str, Adopted], ledger: Ledger) -> TrialRecord:
    """The record, finished where all seeds of its trial were taken over."""
    config = record.suggestion.config
    found = adopted.get(config.trial_id, NOTHING)
    if record.state is not None or not found.is_all_of(config):
        return record
    seed_epochs, objective = found.end(config)
    ledger.end(record.suggestion, state="finished", seed_epochs=seed_epochs, objective=objective)
    return replace(record, state="finished", objective=objective)


def _turn(suggestion: Suggestion, num_gpus: float, adopted: Mapping[str, Adopted]) -> Turn:
    found = adopted.get(suggestion.config.trial_id, NOTHING)
    return Turn(suggestion=suggestion, num_gpus=num_gpus, adopted=found)


def _shared(
    waiting: Sequence[Turn], embedded: Mapping[str, TrialData], load_features: Callable[[], Features]
) -> ray.ObjectRef | None:
    """The features in Ray's object store, and nowhere else; None where no trial needs them."""
    needs_them = any(turn.suggestion.config.trial_id not in embedded for turn in waiting)
    return ray.put(load_features()) if needs_them else None
