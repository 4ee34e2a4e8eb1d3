"""A trial inside a Ray process: run_trial, with every number committed before anybody else hears of it."""

import contextlib
import dataclasses
import gc
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from ray import tune

from cluster.metrics import GPU_MEMORY_BYTES, count_s3_bytes, showing
from cluster.versions import Versions, VersionsDiffer
from storage import traffic
from storage.checkpoints import Checkpoints
from storage.errors import StoreOutOfReach
from storage.model_file import model_key, save_model
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from sweeps.adoption import NOTHING, Adopted
from sweeps.brake import Brake
from sweeps.ledger import OUT_OF_MEMORY, Ledger
from sweeps.trial_news import end_of_search, told
from training import SeedResult, TrialConfig, TrialData, TrialResult, run_trial
from training.embeddings import data_for
from training.fuse_choice import FuseSeeds
from training.latency import latency_ms
from training.memory import ran_out_of_memory
from training.model_card import model_card
from training.progress import EpochMetrics
from training.seed_run import TrainingFailed
from training.seed_turns import Paused
from training.steps import OutOfMemory


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialContext:
    """What every trial of a sweep shares; travels once through Ray's object store.

    Attributes:
        feature_spec: of the data, field by field, for the cards of the models; None where no models are kept.
        embedded: the data with embeddings of frozen backbones, for the trials that they fit.
        measures_latency: of every seed's model, when it is trained.
        versions: of the driver's packages, which a trial needs to begin; None where they are not compared.
    """

    sweep_id: str
    store: ObjectStore
    data: TrialData
    feature_spec: Mapping[str, Any] | None = None
    embedded: tuple[TrialData, ...] = ()
    measures_latency: bool = False
    versions: Versions | None = None

    def check_versions(self) -> None:
        """In the process that is to train.

        Raises:
            VersionsDiffer: its node has others than the driver.
        """
        if self.versions is not None:
            self.versions.check()


class TrialShares(Protocol):
    """What the trials of a sweep reserve, and what follows from it for one of them: `shares.Shares`."""

    def may_be_alone(self, tune_config: Mapping[str, Any]) -> bool:
        """Whether a trial with this configuration has others beside it, and could do without them."""
        ...

    def num_threads(self, tune_config: Mapping[str, Any]) -> int | None:
        """That it computes in; None for what the environment says."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochNews:
    """An epoch of a trial, as told to whoever watches; the ledger has it already."""

    seed: int
    seed_epoch: int
    objective: float
    metrics: EpochMetrics


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedTraining:
    """Training itself failed, and would again on any machine: a loss or an output that is not finite."""

    reason: str
    detail: str


def checkpoint_prefix(sweep_id: str, trial_id: str) -> str:
    """Where a trial's checkpoints lie: known from its identity alone, so that any process finds them."""
    return f"checkpoints/{sweep_id}/{trial_id}"


def train_trial(tune_config: dict[str, Any], context: TrialContext, shares: TrialShares, brake: Brake) -> None:
    """Ray Tune's function trainable.

    Reports `seed_epoch` and `objective` after every epoch. A loss that is not finite ends the trial with `failed` set;
    memory that runs out beside others with `out_of_memory`, so that the searcher hands it out once more, alone; a store
    that is out of reach, and a node with other packages than the driver's, which are no fault of the trial's, with why,
    so that the driver ends the search. Other errors, memory that a trial alone has too little of among them, are
    recorded and raised, so that Tune tries again from the newest checkpoint and leaves the trial open in the end. Where
    the driver ends in the middle and pulls the brake, the trial stores a checkpoint and nobody hears of it any more.
    A process runs many trials, one after the other; one in which a trial has raised runs no other.
    """

    ended: list[SeedResult] = []  # since the last epoch; a seed's result comes before its last epoch

    def hear(news: EpochNews) -> None:
        # Returns once Tune has decided; if the scheduler stops the trial, Tune raises SystemExit here.
        result = {"seed": news.seed, "seed_epoch": news.seed_epoch, "objective": news.objective}
        seeds, ended[:] = list(ended), []
        with mine.at_rest():
            tune.report({**result, "epoch": news.metrics.epoch, **told(news.metrics, seeds)})

    config = TrialConfig.from_dict(tune_config["configuration"])
    mine = brake.of(config.trial_id)
    num_threads = shares.num_threads(tune_config)
    if num_threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(num_threads)
    # So long Tune waits for a trial that was stopped to let go of its memory; after that it would give up the next one.
    os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = "600"
    end: dict[str, Any] = {}
    try:
        with mine.training():
            trained = train_recorded(config, context, hear, ended.append, pause=mine.is_pulled)
        if isinstance(trained, FailedTraining):
            end = {"failed": True}
    except Paused:
        return
    except (VersionsDiffer, StoreOutOfReach) as e:
        end = end_of_search(e)
    except OutOfMemory:
        if not shares.may_be_alone(tune_config):
            raise
        end = {OUT_OF_MEMORY: True}
    finally:
        _release_memory()
    if end:  # told when the memory is free for others
        tune.report(end)


def _release_memory() -> None:
    """What torch keeps of a trial's memory would be missing to those that share the GPU with the next one."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def train_recorded(
    config: TrialConfig,
    context: TrialContext,
    hear: Callable[[EpochNews], None],
    on_seed: Callable[[SeedResult], None] = lambda result: None,
    *,
    fuse_seeds: FuseSeeds = "never",
    pause: Callable[[], bool] = lambda: False,
    adopted: Adopted = NOTHING,
) -> TrialResult | FailedTraining:
    """Runs a trial with everything it does in the results table.

    Args:
        hear: of every epoch that the table has.
        on_seed: receives a seed's result before the table does, so that a row there means that this was done, too.
        fuse_seeds: as in `run_trial`; a sweep, whose trials begin with their first seed, has no use for it.
        pause: as in `run_trial`.
        adopted: the trial's first seeds, which the results table has already; not all of them.

    Raises:
        VersionsDiffer: this node has other packages than the driver; nothing is recorded.
        Paused: `pause` answered True; a checkpoint is stored.
        OutOfMemory: the device has too little for the trial, now; recorded before, and no end of the trial.
        StoreOutOfReach: nothing is recorded of it; the trial goes on from its newest checkpoint another time.
        Exception: any other, recorded before; the trial may be tried again from its newest checkpoint.
    """
    context.check_versions()
    traffic.listen(count_s3_bytes)
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    ledger = Ledger(ResultsTable(context.store), context.sweep_id)
    checkpoints = Checkpoints(context.store, checkpoint_prefix(context.sweep_id, config.trial_id))

    def report(*, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> None:
        seed_epoch, objective = adopted.counted_in(config, seed_epoch=seed_epoch, objective=objective)
        objective = ledger.epoch(config, seed=seed, seed_epoch=seed_epoch, objective=objective, metrics=metrics)
        hear(EpochNews(seed=seed, seed_epoch=seed_epoch, objective=objective, metrics=metrics))

    def record(result: SeedResult) -> None:
        if context.measures_latency:
            measured = ledger.latency_ms(config, result.seed) or latency_ms(config, result, context.data)
            result = dataclasses.replace(result, latency_ms=measured)
        _keep_model(config, result, context, ledger)  # before its row, so that no row is without its model
        on_seed(result)
        ledger.seed(config, result)

    try:
        data = data_for(config, context.data, context.embedded)
        left = adopted.rest_of(config)
        with _gpu_memory_shown(config, context.sweep_id):
            result = run_trial(left, data, report, checkpoints, on_seed=record, pause=pause, fuse_seeds=fuse_seeds)
        return adopted.whole(config, result)
    except (Paused, StoreOutOfReach):  # no failure of the trial's
        raise
    except TrainingFailed as e:
        ledger.failure(config.trial_id, reason="not_finite", detail=str(e))
        return FailedTraining(reason="not_finite", detail=str(e))
    except Exception as e:
        if ran_out_of_memory(e):
            told = str(e).partition("\n")[0]
            ledger.failure(config.trial_id, reason=OUT_OF_MEMORY, detail=told)
            raise OutOfMemory(told) from e
        ledger.failure(config.trial_id, reason=type(e).__name__, detail=traceback.format_exc(limit=-4))
        raise


def _gpu_memory_shown(config: TrialConfig, sweep_id: str) -> contextlib.AbstractContextManager[None]:
    if config.device != "cuda":
        return contextlib.nullcontext()
    return showing(GPU_MEMORY_BYTES, torch.cuda.memory_reserved, sweep=sweep_id, architecture=config.architecture)


def _keep_model(config: TrialConfig, result: SeedResult, context: TrialContext, ledger: Ledger) -> None:
    if context.feature_spec is None:
        return
    key = model_key(context.sweep_id, config.trial_id, result.seed)
    # On a GPU a seed that is trained again is another model: the one whose predictions are recorded stays.
    is_recorded = context.store.size_bytes(key) and ledger.has_predictions(config, result.seed)
    if not is_recorded:
        card = model_card(config, result, context.data, features=context.feature_spec)
        save_model(context.store, key, result.best_weights, card)
