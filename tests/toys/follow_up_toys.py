"""A sweep that has ended, trained in this process without Ray; tests import this by the name `follow_up_toys`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from experiment_toys import toy_features, toy_splits
from sweep_toys import SWEEP_ROW
from sweep_toys import make_plan as make_sweep_plan

from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from storage.split import Split
from sweeps import SweepPlan
from sweeps.adoption import NOTHING, Adopted
from sweeps.ledger import Ledger
from sweeps.records import Suggestion
from sweeps.trial_actor import EpochNews, FailedTraining, TrialContext, train_recorded
from training import TrialConfig, load_trial_data

# Learning rates of the configurations; the last one is stopped, when its first seed is trained.
RATES = (0.002, 0.02, 0.0001)
CLOCKS = {"ended_at", "started_at", "epoch_seconds", "train_seconds"}


def own_split() -> Split:
    return toy_splits(toy_features())[1]


def make_plan(**settings: Any) -> SweepPlan:
    plan = make_sweep_plan(num_trials=len(RATES), seeds=(1, 2), epochs=2, **settings)
    return dataclasses.replace(plan, split_hash=own_split().split_hash)


def suggestions(plan: SweepPlan) -> list[Suggestion]:
    return [
        Suggestion(
            number=number,
            config=plan.trial_config("cnn", {"optimizer.learning_rate": rate, "batch_size": 8}),
            parameters={"optimizer.learning_rate": rate},
            distributions={},
            untuned_default=number == 0,
        )
        for number, rate in enumerate(RATES)
    ]


class _Stop(Exception):
    """As Tune ends the process of a trial that a scheduler stops."""


def search(plan: SweepPlan, store: ObjectStore) -> None:
    """Leaves the rows of a whole sweep: two configurations have finished, one is stopped after its first seed."""
    ledger = Ledger(ResultsTable(store), plan.sweep_id)
    ledger.start({**SWEEP_ROW, "split_hash": plan.split_hash})
    for suggestion in suggestions(plan):
        ledger.suggest(suggestion)
        stop_at = 2 if suggestion.number == len(RATES) - 1 else None
        heard = train(suggestion.config, store, plan.sweep_id, stop_at=stop_at)
        last = max(heard)
        state = "finished" if stop_at is None else "stopped"
        ledger.end(suggestion, state=state, seed_epochs=last, objective=heard[last])  # type: ignore[arg-type]


def train(
    config: TrialConfig,
    store: ObjectStore,
    run_id: str,
    *,
    stop_at: int | None = None,
    adopted: Adopted = NOTHING,
) -> dict[int, float]:
    """Trains in this process, on the split that the configuration names; returns seed-epoch → objective."""
    heard: dict[int, float] = {}

    def hear(news: EpochNews) -> None:
        heard[news.seed_epoch] = news.objective
        if news.seed_epoch == stop_at:
            raise _Stop

    splits = {split.split_hash: split for split in toy_splits(toy_features()).values()}
    data = load_trial_data(toy_features(), splits[config.split_hash])
    context = TrialContext(sweep_id=run_id, store=store, data=data)
    try:
        ended = train_recorded(config, context, hear, adopted=adopted)
        assert not isinstance(ended, FailedTraining)
    except _Stop:
        for info in list(store.list("results/failures/")):
            store.delete(info.key)
    for info in list(store.list("checkpoints/")):
        store.delete(info.key)
    return heard


def rows(store: ObjectStore, table: str, run_id: str) -> list[dict[str, Any]]:
    """Without what clocks say, in one order."""
    found = ResultsTable(store).read(table, sweep_id=run_id).to_pylist()
    return sorted(({name: row[name] for name in row if name not in CLOCKS} for row in found), key=_place)


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(str(row.get(name, "")) for name in ("trial_id", "number", "seed", "epoch", "part", "clip_id"))
