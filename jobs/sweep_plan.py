"""`jobs/sweep.py --plan`: what a sweep would take. Nothing is begun: no Ray is started, and the store is only read.

Enters: settings, recordings and splits, all checked. Leaves: a table for people, and what is not in it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobs.console import print_table, progress, say
from jobs.follow_ups import Splits
from jobs.plan_rows import (
    UNKNOWN,
    Hours,
    Row,
    cost_rows,
    estimate_features,
    feature_rows,
    free_space,
    num_cpus_of,
    span,
)
from jobs.settings import JobSettings
from jobs.stages import in_bytes
from pipelines.estimate import Estimate
from pipelines.manifest import Clip, Manifest
from pipelines.shards.plan import bytes_per_row, estimated_rows
from storage.errors import InvalidInput
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from storage.split import Split
from storage.sweep_state import SweepReader, SweepState
from sweeps import SweepPlan
from sweeps.forecast import (
    EpochCost,
    Rows,
    SeedEpochs,
    at_once,
    device_here,
    earlier_costs,
    measured_cost,
    seed_epochs,
    share_of,
)

_MODEL_HEAD_BYTES = 8 * 1024  # of a small model's file: the names of its tensors, and its card
_NOT_IN_IT = (
    "not in it: Ray's start, embeddings of frozen backbones, measuring of shares, the report, rows of results (some KB "
    "an epoch) and checkpoints, which are deleted; of the cost, the head and nodes that start or are idle; seeds that "
    "stop early train less"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepForecast:
    """Everything that the table is made of.

    Attributes:
        state: what the store has of the sweep; None for nothing, or where it cannot be known before there are features.
        costs: architecture → what an epoch costs.
        at_once: trials side by side; None for unknown.
        share: CPUs and GPUs of a trial.
    """

    plan: SweepPlan
    features: Estimate
    state: SweepState | None
    seed_epochs: SeedEpochs
    follow_ups: dict[str, int]
    costs: dict[str, EpochCost]
    at_once: int | None
    share: tuple[float, float]
    row_bytes: int

    def trial_seconds(self, num_seed_epochs: int) -> float | None:
        """Of one process after the other, if all architectures train as many; None where the cost of one is unknown."""
        seconds = [cost.seconds for cost in self.costs.values()]
        known = [one for one in seconds if one is not None]
        return num_seed_epochs * math.fsum(known) / len(known) if len(known) == len(seconds) else None

    @property
    def to_come(self) -> int:
        """Seed-epochs, follow-ups among them, at most."""
        done = self.state.seed_epochs if self.state else 0
        return max(self.seed_epochs.most - done, 0) + sum(self.follow_ups.values())


def print_plan(plan: SweepPlan, settings: JobSettings, manifest: Manifest, split: Split, splits: Splits) -> None:
    """Args: plan: with any device; splits: to confirm on, as `confirm` has them."""
    store = open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url)
    plan = replace(plan, device=device_here(settings.sweep))
    found = _forecast(plan, settings, manifest, split, splits, store)
    hours = _hours(found)
    rows = [*feature_rows(found.features), *_training_rows(found), *cost_rows(hours, settings.cluster)]
    print_table(f"Plan of sweep {_name(found, store)}", ("what", "how much"), rows)
    for line in (_NOT_IN_IT, *free_space(store, found.features.missing_bytes), "nothing was written"):
        say(line)


def _forecast(
    plan: SweepPlan, settings: JobSettings, manifest: Manifest, split: Split, splits: Splits, store: ObjectStore
) -> SweepForecast:
    estimate = estimate_features(manifest, settings, store)
    features = FeatureStore(store, dataset=plan.dataset, fingerprint=plan.fingerprint)
    if features.marker() is not None:
        plan = replace(plan, quarantine_hash=features.quarantine_hash())
    loaded = {"uint8": 2, "float16": 1, "float32": 1}[settings.features.dtype]  # uint8 is loaded as float16
    counted = seed_epochs(plan)
    return SweepForecast(
        plan=plan,
        features=estimate,
        state=_state(plan, ResultsTable(store)) if features.marker() is not None else None,
        seed_epochs=counted,
        follow_ups=_follow_ups(plan, splits, counted),
        costs=_costs(plan, settings, manifest, split, ResultsTable(store)),
        at_once=at_once(plan, num_cpus=num_cpus_of(settings.cluster)),
        share=share_of(plan),
        row_bytes=loaded * bytes_per_row(settings.features),
    )


def _state(plan: SweepPlan, results: ResultsTable) -> SweepState | None:
    try:
        return SweepReader(results, plan.sweep_id).read()
    except InvalidInput:  # it is new
        return None


def _costs(
    plan: SweepPlan, settings: JobSettings, manifest: Manifest, split: Split, results: ResultsTable
) -> dict[str, EpochCost]:
    rows = _rows(manifest.clips, split, settings)
    labels = [clip.labels for clip in manifest.clips if clip.labels]
    shape = settings.features.feature_shape
    found = earlier_costs(plan, results)
    missing = [name for name in plan.settings.architectures if name not in found]
    with progress("measure, architectures") as tell:
        for number, name in enumerate(missing):
            tell(number, len(missing), name)
            found[name] = measured_cost(plan, name, rows, feature_shape=shape, labels_of_clips=labels)
    return {name: found[name] for name in plan.settings.architectures}


def _rows(clips: Sequence[Clip], split: Split, settings: JobSettings) -> Rows:
    spec = settings.features
    train = [estimated_rows(clip, spec) for clip in clips if split.has(clip.clip_id, "train")]
    validation = [estimated_rows(clip, spec) for clip in clips if split.has(clip.clip_id, "validation")]
    return Rows(
        num_train=sum(train),
        num_train_clips=len(train),
        num_validation=sum(validation) // len(spec.variants),
    )


def _follow_ups(plan: SweepPlan, splits: Splits, counted: SeedEpochs) -> dict[str, int]:
    """`confirmation` and `audit` → seed-epochs that they add, at most; none where there is nothing to add."""
    settings = plan.settings
    confirm, own = settings.confirm, set(settings.seeds)
    seeds = set(confirm.seeds) or own
    new_seeds = seeds if None not in splits else seeds - own  # what is confirmed was trained to its end
    chosen = len(settings.architectures) * (confirm.best + 1) if confirm.best else 0
    saved = counted.most - (counted.likely if counted.likely is not None else counted.most)
    found = {
        "confirmation": chosen * len(splits) * len(new_seeds) * settings.epochs,
        "audit": math.ceil(settings.audit.share * saved),
    }
    return {name: number for name, number in found.items() if number}


def _hours(found: SweepForecast) -> Hours:
    seconds, (cpus, gpus) = found.trial_seconds(found.to_come), found.share
    features = found.features.seconds * found.features.num_actors
    if seconds is None:
        return Hours(cpu=None, gpu=None if gpus else 0.0)
    return Hours(cpu=(features + seconds * cpus) / 3600, gpu=seconds * gpus / 3600)


def _name(found: SweepForecast, store: ObjectStore) -> str:
    if found.features.num_to_compute or found.features.num_copied:
        return f"{found.plan.settings.name}, whose id follows from what can be featurized, on {store.uri}"
    return f"{found.plan.sweep_id} on {store.uri}"


def _training_rows(found: SweepForecast) -> list[Row]:
    counted, plan = found.seed_epochs, found.plan
    is_exact = plan.settings.scheduler == "fifo"
    rows = [
        ("trials" if plan.settings.scheduler != "adaptive" else "trials, at most", str(plan.num_trials)),
        ("seed-epochs" if is_exact else "seed-epochs, at most", str(counted.most)),
    ]
    if counted.likely is not None:
        share = f"1/{plan.settings.reduction_factor}"
        rows.append((f"  if every rung lets the best {share} go on", str(counted.likely)))
    if found.state:
        rows.append(("  trained already", f"{found.state.seed_epochs}, {found.state.num_ended} trials have ended"))
    rows += [(f"  {name} after it, at most", str(number)) for name, number in found.follow_ups.items()]
    at_once = UNKNOWN if found.at_once is None else str(found.at_once)
    rows.append(
        ("trials at once", f"{at_once}, each {found.share[0]:g} CPUs and {found.share[1]:g} GPUs, on {plan.device}")
    )
    for name, cost in found.costs.items():
        seconds = UNKNOWN if cost.seconds is None else f"{cost.seconds:.3g} s"
        rows.append((f"an epoch of {name}, about", f"{seconds} ({cost.source})"))
    return [*rows, *_memory_rows(found), *_time_rows(found)]


def _memory_rows(found: SweepForecast) -> list[Row]:
    peaks = {name: cost.peak_bytes for name, cost in found.costs.items() if cost.peak_bytes is not None}
    rows = [(f"memory of a trial of {name}, about", in_bytes(size)) for name, size in peaks.items()]
    rows.append(("features in memory of each node, about", in_bytes(found.features.num_rows * found.row_bytes)))
    sizes = [cost.num_parameters for cost in found.costs.values()]
    if found.plan.settings.keep_models != "none":
        known = [4 * size + _MODEL_HEAD_BYTES for size in sizes if size is not None]
        most = found.plan.trials_per_architecture * len(found.plan.settings.seeds) * sum(known)
        rows.append(("models to be stored, at most", in_bytes(most) if len(known) == len(sizes) else UNKNOWN))
    return rows


def _time_rows(found: SweepForecast) -> list[Row]:
    def training(num_seed_epochs: int) -> float | None:
        seconds = found.trial_seconds(num_seed_epochs)
        return None if seconds is None or found.at_once is None else seconds / found.at_once

    most = training(found.to_come)
    rows = [("time to train, at most, about", span(most))]
    likely = found.seed_epochs.likely
    if likely is not None and found.state is None:
        rows.append(("  if rungs let so many go on", span(training(likely + sum(found.follow_ups.values())))))
    return [*rows, ("time in all, at most, about", span(None if most is None else most + found.features.seconds))]
