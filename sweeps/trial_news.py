"""What a trial of a sweep tells the driver beside what Tune has to know, for whoever watches: the ledger has it.

Enters: an epoch and the seeds that ended with it, in the trial's process. Leaves: the same in the driver. It travels
in a result of Tune, which holds plain values alone.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.versions import VersionsDiffer
from storage.errors import StoreOutOfReach
from training import SeedResult
from training.metrics import Evaluation
from training.progress import EpochMetrics

# Of a result that says, and why, that the search is to end: no trial is to blame, and another one would fare no better.
# Were it an error of the trial, Tune would try it again, and each attempt would wait for the store as long as one did.
_ENDS = {"versions_differ": VersionsDiffer, "store_out_of_reach": StoreOutOfReach}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """How a part was answered, without its clips; see `training.metrics.Evaluation`."""

    loss: float
    scores: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedEnd:
    """A seed trained to its end, as far as logs know of one: a `training.SeedResult` without clips and weights."""

    seed: int
    best_epoch: int
    epochs_trained: int
    train_seconds: float
    num_parameters: int
    latency_ms: float | None
    validation: Scored
    test: Scored


def told(metrics: EpochMetrics, ended: Sequence[SeedResult]) -> dict[str, Any]:
    """A part of Tune's result: `metrics` and `ended`, in plain values."""
    return {"metrics": dataclasses.asdict(metrics), "ended": [dataclasses.asdict(_end(result)) for result in ended]}


def heard(result: Mapping[str, Any]) -> tuple[EpochMetrics, list[SeedEnd]]:
    """The epoch and the seeds of a result of Tune, as they were told."""
    ended = [
        SeedEnd(**{**seed, "validation": Scored(**seed["validation"]), "test": Scored(**seed["test"])})
        for seed in result["ended"]
    ]
    return EpochMetrics(**result["metrics"]), ended


def end_of_search(error: VersionsDiffer | StoreOutOfReach) -> dict[str, str]:
    """A result of Tune by which a trial tells the driver of an error that ends the search."""
    return {next(name for name, kind in _ENDS.items() if isinstance(error, kind)): str(error)}


def error_of_search(result: Mapping[str, Any]) -> Exception | None:
    """The error that a result of Tune tells of, where it ends the search."""
    return next((kind(result[name]) for name, kind in _ENDS.items() if name in result), None)


def measured(result: Mapping[str, Any]) -> dict[int, dict[str, float]]:
    """Seed → what the ended seeds of a result of Tune say of their models, as their rows do."""
    found = {}
    for seed in result.get("ended", ()):
        of_seed = {name: seed[name] for name in ("num_parameters", "latency_ms")}
        found[seed["seed"]] = {name: float(value) for name, value in of_seed.items() if value is not None}
    return found


def _end(result: SeedResult) -> SeedEnd:
    return SeedEnd(
        seed=result.seed,
        best_epoch=result.best_epoch,
        epochs_trained=result.epochs_trained,
        train_seconds=result.train_seconds,
        num_parameters=result.num_parameters,
        latency_ms=result.latency_ms,
        validation=_scored(result.validation),
        test=_scored(result.test),
    )


def _scored(evaluation: Evaluation) -> Scored:
    return Scored(loss=evaluation.loss, scores=dict(evaluation.scores))
