"""A frozen backbone runs once over all stored features: Ray Data spreads their parts over actors that hold it.

Enters: a configuration, its trial data, complete features and a split. Leaves: complete embeddings in the store, and
the trial data with them. It stands here and not in `pipelines`, as it needs a trial's own model, weights and scaling:
the same code on both ways is what makes their numbers agree.
"""

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

from cluster.session import ClusterResources, cluster_resources
from models import Classifier
from storage.embedding_store import EmbeddingStore
from storage.errors import InvalidInput, StorageError
from storage.feature_store import Features, FeatureStore
from storage.split import Split
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
from training.steps import autocast

# Half a core each, as in pipelines/shards/placement.py: actors that hold every core starve Ray Data's own tasks.
_CPUS_PER_ACTOR = 0.5
# On a GPU one of two reads and writes while the other computes.
_ACTORS_PER_GPU = 2
_ROWS_PER_BATCH = {"cpu": 16, "cuda": 256}

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
    return {
        fold: embed(
            plan.trial_config(fold),
            load_trial_data(loaded, split, unseen_labels=plan.trial_config(fold).loss.unseen_labels),
            features,
            split,
            on_progress=on_progress,
        )
        for fold, split in splits.items()
        if can_train_head(plan.trial_config(fold)) is None
    }


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
    if not store.is_complete():
        store.withdraw()  # somebody deleted a part, a damaged one perhaps: only what is missing is computed again
        _complete(model, spec, store, on_progress)
    return with_embeddings(data, spec, store.load(), split)


def _complete(model: Classifier, spec: EmbeddingSpec, store: EmbeddingStore, on_progress: Progress) -> None:
    marker = store.features.marker()
    if marker is None:
        raise StorageError(f"{store.features.uri} holds no complete features. Run jobs/featurize.py first.")
    parts = [(index, clips_hash) for index, clips_hash, _ in marker["shards"]]
    there = store.finished_parts()
    num_done = sum(store.check_part(*part) for part in parts if part in there)
    on_progress(num_done, marker["num_rows"])
    for num_rows in _compute(model, spec, store, [part for part in parts if part not in there]):
        num_done += num_rows
        on_progress(num_done, marker["num_rows"])
    num_stored = sum(store.check_part(*part) for part in parts)
    if num_stored != marker["num_rows"]:
        raise StorageError(
            f"{store.uri}: {num_stored} embeddings of {marker['num_rows']} feature rows. Delete it and run again."
        )
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "timm", "torch", "torchvision", "ray")}
    store.commit(parts, num_rows=num_stored, spec=asdict(spec), versions=versions)


def _compute(
    model: Classifier, spec: EmbeddingSpec, store: EmbeddingStore, parts: Sequence[tuple[int, str]]
) -> Iterator[int]:
    """Computes and stores parts; the number of rows of each as it is stored."""
    if not parts:
        return
    placement = place(spec.device, cluster_resources(), num_parts=len(parts))
    ray.data.DataContext.get_current().enable_progress_bars = False  # on_progress tells it in rows
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [{"index": index, "clips_hash": clips_hash} for index, clips_hash in parts]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        EmbeddingActor,
        # By reference, so that the weights travel once to every node.
        fn_constructor_args=([ray.put(model)], spec, store),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=placement.num_actors),
        num_cpus=_CPUS_PER_ACTOR,
        num_gpus=placement.num_gpus,
    )
    for row in dataset.iter_rows():
        if row["error"]:
            raise StorageError(row["error"])
        yield int(row["num_rows"])


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
            remedy="Set sweep.gpus_per_trial=0, or start a node with a GPU first.",
        )
    num_actors = min(_ACTORS_PER_GPU * math.floor(resources.num_gpus), num_parts)
    return Placement(num_actors=num_actors, num_gpus=1 / _ACTORS_PER_GPU)


class EmbeddingActor:
    """Holds a backbone on its device; a part's name in, its number of rows, or an error as data, out.

    Args:
        model: a list with the reference to the model in Ray's object store.
    """

    def __init__(self, model: Sequence[Any], spec: EmbeddingSpec, store: EmbeddingStore) -> None:
        torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
        self._embedder = Embedder(ray.get(model[0]), spec)
        self._store = store

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        index, clips_hash = int(batch["index"][0]), str(batch["clips_hash"][0])
        try:
            keys, log_mel = self._store.read_features(index, clips_hash)
            embedding = self._embedder.embed(torch.from_numpy(log_mel))
            finite = np.isfinite(embedding).all(axis=1)
            if not finite.all():
                clip_id = keys.column("clip_id")[int(np.flatnonzero(~finite)[0])]
                raise StorageError(f"the embedding of clip {clip_id} is not finite. Use other weights or fp32.")
            self._store.write_part(index, clips_hash, keys, embedding)
        except StorageError as e:  # Ray would wrap it into pages of its own
            return {"num_rows": [0], "error": [str(e)]}
        return {"num_rows": [len(embedding)], "error": [""]}


class Embedder:
    """A backbone on its device, as a trial calls it."""

    def __init__(self, model: Classifier, spec: EmbeddingSpec) -> None:
        self._spec, self._scaling, self._size = spec, input_scaling(spec), model.embedding_size
        self._device = torch.device(spec.device)
        self._model = model.to(self._device).eval()
        if spec.channels_last:
            self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._rows_per_batch = _ROWS_PER_BATCH[spec.device]

    def embed(self, log_mel: torch.Tensor) -> NDArray[np.float32]:
        """Embeddings of log-mels, batch by batch, in smaller ones where memory runs out.

        Args:
            log_mel: (rows, mels, frames), dB.

        Returns:
            (rows, embedding_size).

        Raises:
            StorageError: a single row does not fit into the device's memory.
        """
        found = np.empty((len(log_mel), self._size), dtype=np.float32)
        position = 0
        while position < len(log_mel):
            rows = log_mel[position : position + self._rows_per_batch]
            try:
                found[position : position + len(rows)] = self._batch(rows.to(self._device)).cpu().numpy()
            except torch.OutOfMemoryError as e:
                if self._rows_per_batch == 1:
                    raise StorageError(f"one clip needs more memory than {self._device} has left") from e
                self._rows_per_batch //= 2
                continue
            position += len(rows)
        return found

    def _batch(self, log_mel: torch.Tensor) -> torch.Tensor:
        x_BCMT = self._scaling.shaped(self._scaling.scaled(log_mel))
        order = torch.channels_last if self._spec.channels_last else torch.contiguous_format
        with torch.inference_mode(), autocast(self._spec.precision, self._device):
            return self._model.embed(x_BCMT.contiguous(memory_format=order)).float()
