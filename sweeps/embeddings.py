"""A frozen backbone runs once over all stored features: Ray Data spreads their parts over actors that hold it.

Enters: a configuration, its trial data, complete features and a split. Leaves: complete embeddings in the store, and
the trial data with them. It stands here and not in `pipelines`, as it needs a trial's own model, weights and scaling:
the same code on both ways is what makes their numbers agree.
"""

import contextlib
import importlib.metadata
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from cluster.actor_map import map_by_actors
from cluster.metrics import count_s3_bytes
from cluster.session import ClusterResources, cluster_resources
from cluster.versions import Versions
from cluster.waiting import wait_for_node
from models import Classifier
from storage import traffic
from storage.embedding_store import EmbeddingStore
from storage.errors import InvalidInput, StorageError
from storage.feature_store import Features, FeatureStore
from storage.part_rows import PartRows, parts_with_rows
from storage.split import Split
from storage.vigil import Vigil
from sweeps.experiment import ExperimentPlan
from sweeps.plan import SweepPlan
from training import TrialConfig, TrialData, load_trial_data
from training.embedding_spec import EmbeddingSpec
from training.embeddings import (
    can_train_head,
    embedding_spec,
    frozen_backbone,
    hash_of_backbone,
    input_scaling,
    with_embeddings,
)
from training.first_weights import first_weights
from training.row_batches import RowBatches
from training.steps import OutOfMemory, autocast

# Half a core each, as in pipelines/shards/placement.py: actors that hold every core starve Ray Data's own tasks.
_CPUS_PER_ACTOR = 0.5
# On a GPU one of two reads and writes while the other computes.
_ACTORS_PER_GPU = 2

Progress = Callable[[int, int], None]


def embed_for_plan(
    plan: SweepPlan,
    data: TrialData,
    features: FeatureStore,
    split: Split,
    *,
    on_progress: Progress = lambda rows_done, rows_in_all: None,
) -> tuple[TrialData, ...]:
    """The trial data with embeddings, of every architecture whose default configuration can be trained on some.

    Which these are follows from the plan alone, so that a sweep taken up again goes on as it began. A trial whose
    searched values need other embeddings runs its backbone in every epoch (`training.embeddings.data_for`).

    Raises:
        InvalidInput, StorageError: as `embed`.
    """
    configs = [plan.trial_config(architecture, {}) for architecture in plan.settings.architectures]
    return tuple(
        embed(config, data, features, split, on_progress=on_progress)
        for config in configs
        if can_train_head(config) is None
    )


def embed_folds(
    plan: ExperimentPlan,
    loaded: Features,
    features: FeatureStore,
    splits: Mapping[int, Split],
    *,
    on_progress: Progress = lambda rows_done, rows_in_all: None,
) -> dict[int, TrialData]:
    """Fold → its trial data with embeddings, or nothing where the backbone has to run in every epoch.

    With `unit` scaling all folds have the same embeddings; with `standard` every fold has its own.

    Args:
        loaded: the rows of `features`.

    Raises:
        InvalidInput, StorageError: as `embed`.
    """
    configs = {fold: plan.trial_config(fold) for fold in splits}
    by_hash = {split.split_hash: split for split in splits.values()}
    found = embed_trials(list(configs.values()), lambda: loaded, features, by_hash, on_progress=on_progress)
    return {fold: found[config.trial_id] for fold, config in configs.items() if config.trial_id in found}


def embed_trials(
    configs: Sequence[TrialConfig],
    load: Callable[[], Features],
    features: FeatureStore,
    splits: Mapping[str, Split],
    *,
    on_progress: Progress = lambda rows_done, rows_in_all: None,
) -> dict[str, TrialData]:
    """trial_id → its data with embeddings, of those trials whose backbone does not have to run in every epoch.

    Args:
        load: reads the rows of `features`; not called where no trial needs them.
        splits: by their hash.

    Raises:
        InvalidInput, StorageError: as `embed`.
    """
    heads = [config for config in configs if can_train_head(config) is None]
    if not heads:
        return {}
    loaded, found = load(), {}
    for config in heads:
        split = splits[config.split_hash]
        data = load_trial_data(loaded, split, unseen_labels=config.loss.unseen_labels)
        found[config.trial_id] = embed(config, data, features, split, on_progress=on_progress)
    return found


def embed(
    config: TrialConfig,
    data: TrialData,
    features: FeatureStore,
    split: Split,
    *,
    on_progress: Progress = lambda rows_done, rows_in_all: None,
) -> TrialData:
    """Makes the embeddings of every clip and variant complete, computing only what is missing, and takes them for data.

    Killed at any moment, it leaves whole parts and no marker; the same call goes on from there. Needs an initialised
    Ray unless everything is there already.

    Args:
        config: with which `can_train_head` finds nothing wrong.
        features: complete.
        on_progress: called with the number of rows done and of all rows.

    Raises:
        InvalidInput: the head cannot be trained alone, the weights do not fit, or there is no GPU for `device: cuda`.
        StorageError: a store could not be read or written, a part is damaged, or the counts do not close.
        VersionsDiffer: a node that has come meanwhile has other packages.
    """
    reason = can_train_head(config)
    weights = first_weights(config)
    if reason is not None or weights is None:
        raise InvalidInput(
            "trial", given=reason, allowed="a frozen backbone with undisturbed inputs", remedy="Train on log-mels."
        )
    model = frozen_backbone(config, weights)
    spec = embedding_spec(config, data, hash_of_backbone(model.backbone))
    store = EmbeddingStore(features, spec.embedding_id)
    parts = parts_with_rows(features)
    if not store.is_complete(parts):
        _complete(model, spec, store, parts, on_progress)
    return with_embeddings(data, spec, store.load(), split)


def _complete(
    model: Classifier,
    spec: EmbeddingSpec,
    store: EmbeddingStore,
    parts: Sequence[PartRows],
    on_progress: Progress,
) -> None:
    """Computes what is missing: somebody deleted it, a damaged one perhaps, or the features' rows are others now."""
    there = store.finished_parts()
    missing = [part for part in parts if part.name not in there]
    in_all = sum(part.num_rows for part in parts)
    num_done = in_all - sum(part.num_rows for part in missing)
    on_progress(num_done, in_all)
    for num_rows in _compute(model, spec, store, missing):
        num_done += num_rows
        on_progress(num_done, in_all)
    for part in parts:
        store.check_part(part)
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "timm", "torch", "torchvision", "ray")}
    store.commit(parts, spec=asdict(spec), versions=versions)
    # Only what was there at the beginning: another job may be making parts of rows that changed meanwhile.
    store.delete_parts(there - {part.name for part in parts})


def _compute(model: Classifier, spec: EmbeddingSpec, store: EmbeddingStore, parts: Sequence[PartRows]) -> Iterator[int]:
    """Computes and stores parts; the number of rows of each as it is stored."""
    if not parts:
        return
    wait_for_node(num_cpus=_CPUS_PER_ACTOR, num_gpus=1.0 if spec.device == "cuda" else 0.0)
    placement = place(spec.device, cluster_resources(), num_parts=len(parts))
    rows = [{"index": part.index, "clips_hash": part.clips_hash} for part in parts]
    answers = map_by_actors(
        rows,
        EmbeddingActor,
        ([ray.put(model)], spec, store),  # by reference, so that the weights travel once to every node
        num_actors=placement.num_actors,
        num_cpus=_CPUS_PER_ACTOR,
        num_gpus=placement.num_gpus,
    )
    told: set[str] = set()
    with Vigil(store.store) as vigil, contextlib.closing(answers):
        for row in answers:
            if row["error"]:
                raise StorageError(row["error"])
            if row["event"] not in {"", *told}:  # every actor finds it out by itself
                told.add(row["event"])
                logging.getLogger(__name__).warning(row["event"])
            yield int(row["num_rows"])
            vigil.check()


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What Ray is asked for: so many actors, each with a share of a GPU or none."""

    num_actors: int
    num_gpus: float | None


def place(device: str, resources: ClusterResources, *, num_parts: int) -> Placement:
    """One actor a core, or two a GPU; never more than there are parts.

    Raises:
        InvalidInput: `cuda`, and the cluster has no GPU now; Ray would wait for one without a word.
    """
    if device == "cpu":
        return Placement(num_actors=min(max(1, math.floor(resources.num_cpus)), num_parts), num_gpus=None)
    if resources.num_gpus < 1:
        raise InvalidInput(
            "trial.device",
            given=device,
            allowed="cpu, as no node of the Ray cluster has a GPU now",
            remedy="Set sweep.gpus_per_trial=0 (or train.gpus_per_trial=0), or start a node with a GPU first.",
        )
    num_actors = min(_ACTORS_PER_GPU * math.floor(resources.num_gpus), num_parts)
    return Placement(num_actors=num_actors, num_gpus=1 / _ACTORS_PER_GPU)


class EmbeddingActor:
    """Holds a backbone on its device; a part's name in, its number of rows, or an error as data, out.

    Args:
        model: a list with the reference to the model in Ray's object store.
    """

    def __init__(self, model: Sequence[Any], spec: EmbeddingSpec, store: EmbeddingStore, versions: Versions) -> None:
        traffic.listen(count_s3_bytes)
        self._refusal = versions.refusal()
        if self._refusal:
            return
        torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
        self._events: list[str] = []
        self._embedder = Embedder(ray.get(model[0]), spec, on_event=self._events.append)
        self._store = store

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        if self._refusal:
            return {"num_rows": [0], "error": [""], "event": [""], "refusal": [self._refusal]}
        index, clips_hash = int(batch["index"][0]), str(batch["clips_hash"][0])
        self._events.clear()
        try:
            keys, log_mel = self._store.read_features(index, clips_hash)
            embedding = self._embedder.embed(torch.from_numpy(log_mel))
            finite = np.isfinite(embedding).all(axis=1)
            if not finite.all():
                clip_id = keys.column("clip_id")[int(np.flatnonzero(~finite)[0])]
                raise StorageError(f"the embedding of clip {clip_id} is not finite. Use other weights or fp32.")
            self._store.write_part(index, clips_hash, keys, embedding)
        except (StorageError, OutOfMemory) as e:  # Ray would wrap it into pages of its own
            return {"num_rows": [0], "error": [str(e)], "event": [""], "refusal": [""]}
        return {"num_rows": [len(embedding)], "error": [""], "event": ["; ".join(self._events)], "refusal": [""]}


class Embedder:
    """A backbone on its device, as a trial calls it."""

    def __init__(
        self,
        model: Classifier,
        spec: EmbeddingSpec,
        *,
        on_event: Callable[[str], None] = lambda event: None,
    ) -> None:
        self._spec, self._scaling, self._size = spec, input_scaling(spec), model.embedding_size
        self._device = torch.device(spec.device)
        self._model = model.to(self._device).eval()
        if spec.channels_last:
            self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batches = RowBatches(self._device, on_event=on_event)

    def embed(self, log_mel: torch.Tensor) -> NDArray[np.float32]:
        """Embeddings of log-mels, batch by batch, in smaller ones where memory runs out.

        Args:
            log_mel: (rows, mels, frames), dB.

        Returns:
            (rows, embedding_size).

        Raises:
            OutOfMemory: a single row does not fit into the device's memory.
        """

        def of_rows(rows: slice) -> torch.Tensor:
            return self._batch(log_mel[rows].to(self._device)).cpu()

        input_size = self._scaling.input_size(log_mel.shape[1:])
        found = self._batches.answers(len(log_mel), of_rows, input_size=input_size)
        return np.concatenate([np.empty((0, self._size), dtype=np.float32), *(batch.numpy() for batch in found)])

    def _batch(self, log_mel: torch.Tensor) -> torch.Tensor:
        x_BCMT = self._scaling.shaped(self._scaling.scaled(log_mel))
        order = torch.channels_last if self._spec.channels_last else torch.contiguous_format
        with torch.inference_mode(), autocast(self._spec.precision, self._device):
            return self._model.embed(x_BCMT.contiguous(memory_format=order)).float()
