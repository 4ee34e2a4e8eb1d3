"""Sweeps whose trials train nothing: ours as `run_sweep` runs it, and plain Ray Tune's with ASHA.

A trial reports so many epochs. The later a trial is suggested the better it is, so that every rung lets it go on and
every trial reports all its epochs. Of ours, a trial commits what a real one does: every epoch, the predictions of
its seed, its seed.
"""

import functools
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from ray import tune
from ray.tune.result import RESULT_DUPLICATE
from ray.tune.schedulers import ASHAScheduler

from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan, SweepSettings
from sweeps.ledger import Ledger
from sweeps.trial_news import told
from training import SeedResult, TrialConfig
from training.metrics import evaluate
from training.progress import EpochMetrics

SEED = 42
GRACE_EPOCHS, REDUCTION_FACTOR = 3, 3
CONCURRENCY = 4
SLEEPING_EPOCH_S = 0.5
_NUM_CLIPS, _NUM_LABELS = 10, 10
SWEEP_ROW = {
    **dict.fromkeys(("dataset", "fingerprint", "split_hash", "split_policy"), "x" * 16),
    "labels": [f"label{number}" for number in range(_NUM_LABELS)],
    "settings": "{}",
    "versions": "{}",
}


def stub_plan(
    num_trials: int, num_epochs: int, *, scheduler: str = "seed_epochs", concurrency: int = CONCURRENCY
) -> SweepPlan:
    settings = SweepSettings(
        name="stub",
        architectures=("cnn",),
        num_trials=num_trials,
        seeds=(SEED,),
        epochs=num_epochs,
        grace_epochs=GRACE_EPOCHS,
        reduction_factor=REDUCTION_FACTOR,
        scheduler=scheduler,  # type: ignore[arg-type]
        max_concurrent_trials=concurrency,
        keep_models="none",
    )
    return SweepPlan(settings=settings, dataset="stub-0", fingerprint="f" * 16, split_hash="5" * 16, device="cpu")


class StubTrial:
    """One trial of ours: what it would have trained is committed, and then reported.

    Args:
        config: as Tune hands it to a trainable.
    """

    def __init__(self, config: Mapping[str, Any], ledger: Ledger) -> None:
        self._number, self._ledger = int(config["number"]), ledger
        self._config = TrialConfig.from_dict(config["configuration"])
        self._epoch = 0

    def train(self) -> dict[str, Any]:
        """The next epoch's result; after the last one, that there is no more."""
        if self._epoch == self._config.epochs:
            return {"done": True, RESULT_DUPLICATE: True}
        self._epoch += 1
        objective = score_of(self._number)
        metrics = _metrics(self._epoch, objective)
        ended = [_seed_result(self._epoch)] if self._epoch == self._config.epochs else []
        for seed in ended:
            self._ledger.seed(self._config, seed)
        self._ledger.epoch(self._config, seed=SEED, seed_epoch=self._epoch, objective=objective, metrics=metrics)
        result = {"seed": SEED, "seed_epoch": self._epoch, "objective": objective, "epoch": self._epoch}
        return {**result, **told(metrics, ended), "training_iteration": self._epoch, "done": False}


def ledger_of(store: ObjectStore, plan: SweepPlan) -> Ledger:
    return Ledger(ResultsTable(store), plan.sweep_id)


def score_of(number: int) -> float:
    """Rises with the trial's number, below 1."""
    return 1 - 1 / (number + 2)


def stub_trainable(tune_config: dict[str, Any], context: Any, shares: Any, brake: Any) -> None:
    """The same trial as Tune's function trainable, in a process of its own; of a real one's arguments it needs few."""
    trial = StubTrial(tune_config, Ledger(ResultsTable(context.store), context.sweep_id))
    while RESULT_DUPLICATE not in (result := trial.train()):
        tune.report({name: value for name, value in result.items() if name not in ("training_iteration", "done")})


def sleeping_trainable(tune_config: dict[str, Any], context: Any, shares: Any, brake: Any) -> None:
    """Likewise, with epochs that take time, and no core."""
    trial = StubTrial(tune_config, Ledger(ResultsTable(context.store), context.sweep_id))
    while True:
        time.sleep(SLEEPING_EPOCH_S)
        result = trial.train()
        if RESULT_DUPLICATE in result:
            return
        tune.report({name: value for name, value in result.items() if name not in ("training_iteration", "done")})


class PlainTrial:
    """One trial of plain Tune's."""

    def __init__(self, config: Mapping[str, Any], num_epochs: int) -> None:
        self._number, self._num_epochs, self._epoch = config["number"], num_epochs, 0

    def train(self) -> dict[str, Any]:
        if self._epoch == self._num_epochs:
            return {"done": True, RESULT_DUPLICATE: True}
        self._epoch += 1
        return {**_plain_result(self._number, self._epoch), "training_iteration": self._epoch, "done": False}


def plain_trainable(tune_config: dict[str, Any], num_epochs: int) -> None:
    for epoch in range(1, num_epochs + 1):
        tune.report(_plain_result(tune_config["number"], epoch))


def run_plain_tune(num_trials: int, num_epochs: int, folder: str, callbacks: list[tune.Callback]) -> None:
    """As its tutorials have it: ASHA, the searched values drawn at random, all loggers that Tune brings."""
    space = stub_plan(1, num_epochs).space("cnn").distributions
    trainable = tune.with_parameters(plain_trainable, num_epochs=num_epochs)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"number": tune.grid_search(list(range(num_trials))), **dict.fromkeys(space, tune.uniform(0, 1))},
        tune_config=tune.TuneConfig(
            metric="objective",
            mode="max",
            scheduler=ASHAScheduler(max_t=num_epochs, grace_period=GRACE_EPOCHS, reduction_factor=REDUCTION_FACTOR),
            max_concurrent_trials=CONCURRENCY,
        ),
        run_config=tune.RunConfig(name="plain", storage_path=folder, verbose=0, callbacks=callbacks),
    )
    tuner.fit()


def _plain_result(number: int, epoch: int) -> dict[str, Any]:
    metrics = _metrics(epoch, score_of(number))
    return {"objective": score_of(number), **{name: getattr(metrics, name) for name in EpochMetrics.__slots__}}


def _metrics(epoch: int, score: float) -> EpochMetrics:
    return EpochMetrics(
        epoch=epoch,
        train_loss=1.0,
        validation_loss=1.0,
        validation_accuracy=score,
        validation_score=score,
        validation_kl=1.0,
        learning_rate=0.1,
        epoch_seconds=1.0,
    )


@functools.cache
def _seed_result(num_epochs: int) -> SeedResult:
    labels = np.arange(_NUM_CLIPS) % _NUM_LABELS
    part = evaluate(
        clip_ids=tuple(f"clip{row}" for row in range(_NUM_CLIPS)),
        groups=("group",) * _NUM_CLIPS,
        targets=np.eye(_NUM_LABELS, dtype=bool)[labels],
        first_label=labels,
        probabilities=np.eye(_NUM_LABELS)[labels],
        is_multi_label=False,
    )
    return SeedResult(
        seed=SEED,
        best_epoch=num_epochs,
        epochs_trained=num_epochs,
        validation=part,
        test=part,
        train_seconds=1.0,
        num_parameters=1,
        device="cpu",
        best_weights={},
        test_embeddings=np.zeros((0, 0), np.float32),
    )
