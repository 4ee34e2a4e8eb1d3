"""A trial inside its own Ray process: run_trial, with every number committed before Ray Tune hears of it."""

import os
import traceback
from dataclasses import dataclass
from typing import Any

import torch
from ray import tune

from storage.checkpoints import Checkpoints
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from sweeps.ledger import Ledger
from training import SeedResult, TrialConfig, TrialData, run_trial
from training.embeddings import data_for
from training.progress import EpochMetrics
from training.seed_run import TrainingFailed
from training.steps import OutOfMemory


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialContext:
    """What every trial of a sweep shares; travels once through Ray's object store.

    Attributes:
        embedded: the data with embeddings of frozen backbones, for the trials that they fit.
    """

    sweep_id: str
    store: ObjectStore
    data: TrialData
    embedded: tuple[TrialData, ...] = ()


def checkpoint_prefix(sweep_id: str, trial_id: str) -> str:
    """Where a trial's checkpoints lie: known from its identity alone, so that any process finds them."""
    return f"checkpoints/{sweep_id}/{trial_id}"


def train_trial(tune_config: dict[str, Any], context: TrialContext) -> None:
    """Ray Tune's function trainable.

    Reports `seed_epoch` and `objective` after every epoch. A loss that is not finite, or a clip too large for the
    device's memory, ends the trial with `failed` set; other errors are recorded and raised, so that Tune tries again
    from the newest checkpoint.
    """
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    config = TrialConfig.from_dict(tune_config["configuration"])
    ledger = Ledger(ResultsTable(context.store), context.sweep_id)
    checkpoints = Checkpoints(context.store, checkpoint_prefix(context.sweep_id, config.trial_id))

    def report(*, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> None:
        ledger.epoch(config, seed=seed, seed_epoch=seed_epoch, objective=objective, metrics=metrics)
        # Returns once Tune has decided; if the scheduler stops the trial, Tune ends this process here.
        tune.report({"seed": seed, "seed_epoch": seed_epoch, "objective": objective, "epoch": metrics.epoch})

    def on_seed(result: SeedResult) -> None:
        ledger.seed(config, result)

    try:
        data = data_for(config, context.data, context.embedded)
        run_trial(config, data, report, checkpoints, on_seed=on_seed)
    except (TrainingFailed, OutOfMemory) as e:
        reason = "not_finite" if isinstance(e, TrainingFailed) else "out_of_memory"
        ledger.failure(config.trial_id, reason=reason, detail=str(e))
        tune.report({"failed": True})
    except Exception as e:
        ledger.failure(config.trial_id, reason=type(e).__name__, detail=traceback.format_exc(limit=-4))
        raise
