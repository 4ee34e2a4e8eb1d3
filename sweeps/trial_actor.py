"""A trial inside its own Ray process: run_trial, with every number committed before anybody else hears of it."""

import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from ray import tune

from storage.checkpoints import Checkpoints
from storage.model_file import model_key, save_model
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from sweeps.ledger import Ledger
from training import SeedResult, TrialConfig, TrialData, TrialResult, run_trial
from training.embeddings import data_for
from training.fuse_choice import FuseSeeds
from training.model_card import model_card
from training.progress import EpochMetrics
from training.seed_run import TrainingFailed
from training.steps import OutOfMemory


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialContext:
    """What every trial of a sweep shares; travels once through Ray's object store.

    Attributes:
        feature_spec: of the data, field by field, for the cards of the models; None where no models are kept.
        embedded: the data with embeddings of frozen backbones, for the trials that they fit.
    """

    sweep_id: str
    store: ObjectStore
    data: TrialData
    feature_spec: Mapping[str, Any] | None = None
    embedded: tuple[TrialData, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochNews:
    """An epoch of a trial, as told to whoever watches; the ledger has it already."""

    seed: int
    seed_epoch: int
    objective: float
    metrics: EpochMetrics


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedTraining:
    """Training itself failed, and would again: a loss that is not finite, a clip too large for the device's memory."""

    reason: str
    detail: str


def checkpoint_prefix(sweep_id: str, trial_id: str) -> str:
    """Where a trial's checkpoints lie: known from its identity alone, so that any process finds them."""
    return f"checkpoints/{sweep_id}/{trial_id}"


def train_trial(tune_config: dict[str, Any], context: TrialContext) -> None:
    """Ray Tune's function trainable.

    Reports `seed_epoch` and `objective` after every epoch. A loss that is not finite, or a clip too large for the
    device's memory, ends the trial with `failed` set; other errors are recorded and raised, so that Tune tries again
    from the newest checkpoint.
    """

    def hear(news: EpochNews) -> None:
        # Returns once Tune has decided; if the scheduler stops the trial, Tune ends this process here.
        epoch = news.metrics.epoch
        tune.report({"seed": news.seed, "seed_epoch": news.seed_epoch, "objective": news.objective, "epoch": epoch})

    config = TrialConfig.from_dict(tune_config["configuration"])
    if isinstance(train_recorded(config, context, hear), FailedTraining):
        tune.report({"failed": True})


def train_recorded(
    config: TrialConfig,
    context: TrialContext,
    hear: Callable[[EpochNews], None],
    on_seed: Callable[[SeedResult], None] = lambda result: None,
    *,
    fuse_seeds: FuseSeeds = "never",
) -> TrialResult | FailedTraining:
    """Runs a trial with everything it does in the results table.

    Args:
        hear: of every epoch that the table has.
        on_seed: receives a seed's result before the table does, so that a row there means that this was done, too.
        fuse_seeds: as in `run_trial`; a sweep, whose trials begin with their first seed, has no use for it.

    Raises:
        Exception: any other, recorded before; the trial may be tried again from its newest checkpoint.
    """
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    ledger = Ledger(ResultsTable(context.store), context.sweep_id)
    checkpoints = Checkpoints(context.store, checkpoint_prefix(context.sweep_id, config.trial_id))

    def report(*, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> None:
        ledger.epoch(config, seed=seed, seed_epoch=seed_epoch, objective=objective, metrics=metrics)
        hear(EpochNews(seed=seed, seed_epoch=seed_epoch, objective=objective, metrics=metrics))

    def record(result: SeedResult) -> None:
        _keep_model(config, result, context)  # before its row, so that no row is without its model
        on_seed(result)
        ledger.seed(config, result)

    try:
        data = data_for(config, context.data, context.embedded)
        return run_trial(config, data, report, checkpoints, on_seed=record, fuse_seeds=fuse_seeds)
    except (TrainingFailed, OutOfMemory) as e:
        reason = "not_finite" if isinstance(e, TrainingFailed) else "out_of_memory"
        ledger.failure(config.trial_id, reason=reason, detail=str(e))
        return FailedTraining(reason=reason, detail=str(e))
    except Exception as e:
        ledger.failure(config.trial_id, reason=type(e).__name__, detail=traceback.format_exc(limit=-4))
        raise


def _keep_model(config: TrialConfig, result: SeedResult, context: TrialContext) -> None:
    if context.feature_spec is not None:
        key = model_key(context.sweep_id, config.trial_id, result.seed)
        card = model_card(config, result, context.data, features=context.feature_spec)
        save_model(context.store, key, result.best_weights, card)
