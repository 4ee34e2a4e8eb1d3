"""From feature rows to predictions of recordings, here or spread over a cluster by Ray Data.

Enters: complete features and a model file's bytes. Leaves: predictions, shard by shard as each is finished.
Log-mels stay on the worker that reads them; only predictions travel, so the driver alone writes them.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from cluster.session import cluster_resources
from pipelines.isolation.outcomes import error_as_data, raise_error
from pipelines.shards.placement import Placement, place_on_cores, place_on_gpus
from storage.feature_store import Features, FeatureStore
from storage.model_file import ModelCard, from_bytes
from storage.predictions import NUM_BEST, RecordingPrediction, part_bytes
from training.inference import Aggregate, Predictor, of_recordings


@dataclass(frozen=True, kw_only=True, slots=True)
class Answering:
    """How windows become the answer for a recording.

    Attributes:
        threshold: from which a label holds, where the model is one of several labels.
    """

    aggregate: Aggregate
    threshold: float


def predict_features(predictor: Predictor, features: Features, answering: Answering) -> list[RecordingPrediction]:
    """One prediction per recording, in the order of the features."""
    place_of: dict[str, int] = {}
    recording_of_row = np.array(
        [place_of.setdefault(clip_id, len(place_of)) for clip_id in features.clip_ids], dtype=np.int64
    )
    found = of_recordings(predictor(features.log_mel), recording_of_row, aggregate=answering.aggregate)
    num_windows = np.bincount(recording_of_row, minlength=len(place_of)).tolist()
    return [
        _prediction(recording, windows, probabilities, predictor.card, answering)
        for recording, windows, probabilities in zip(place_of, num_windows, found.tolist(), strict=True)
    ]


def _prediction(
    recording: str, num_windows: int, probabilities: list[float], card: ModelCard, answering: Answering
) -> RecordingPrediction:
    named = list(zip(card.labels, probabilities, strict=True))
    best = sorted(named, key=lambda pair: -pair[1])[:NUM_BEST]
    several = tuple(label for label, probability in named if probability >= answering.threshold)
    return RecordingPrediction(
        recording=recording,
        num_windows=num_windows,
        best=tuple(best),
        labels=several if card.is_multi_label else (best[0][0],),
        probabilities=tuple(probabilities),
    )


def predict_parts(
    features: FeatureStore,
    parts: Sequence[tuple[int, str]],
    model: bytes,
    answering: Answering,
    *,
    device: str,
    num_actors: int = 0,
) -> Iterator[tuple[tuple[int, str], int, bytes]]:
    """Predicts shards of features on the session's cluster, each as one piece of work.

    Args:
        parts: (index, clips_hash) of the shards.
        model: the bytes of a model file; they travel to every node once.
        device: `cpu` or `cuda`.
        num_actors: that work at once on CPUs; 0 for one per core. On GPUs it is one each.

    Yields:
        The shard, how many recordings it has predictions for, and a part of `storage.predictions`.

    Raises:
        InvalidInput, StorageError: of a worker.
    """
    if not parts:
        return
    placement = _placement(device, num_actors, len(parts))
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [{"index": index, "clips_hash": clips_hash} for index, clips_hash in parts]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        PredictionActor,
        fn_constructor_args=(features, ray.put(model), answering, device),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=placement.num_actors),
        num_cpus=placement.num_cpus,
        num_gpus=placement.num_gpus,
    )
    for row in dataset.iter_rows():
        raise_error(json.loads(row["error"]))
        yield (row["index"], row["clips_hash"]), row["num_recordings"], row["part"]


class PredictionActor:
    """What Ray Data makes actors of: shards in, tables, or errors as data, out. Holds the model."""

    def __init__(self, features: FeatureStore, model: Any, answering: Answering, device: str) -> None:
        self._features, self._answering = features, answering
        tensors, card = from_bytes(ray.get(model), name="the model")
        self._predictor = Predictor(tensors, card, device=device)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        shards = zip(batch["index"].tolist(), batch["clips_hash"].tolist(), strict=True)
        outcomes = [self._outcome(index, clips_hash) for index, clips_hash in shards]
        return {name: [outcome[name] for outcome in outcomes] for name in outcomes[0]}

    def _outcome(self, index: int, clips_hash: str) -> dict[str, Any]:
        outcome = {"index": index, "clips_hash": clips_hash, "num_recordings": 0, "part": b"", "error": "{}"}
        try:
            features = Features.of_rows(self._features.read_shard(index, clips_hash))
            predictions = predict_features(self._predictor, features, self._answering)
            return {**outcome, "num_recordings": len(predictions), "part": part_bytes(predictions)}
        except Exception as e:  # as data, as Ray Data 2.60 loses the cause of an exception that a worker raises
            return {**outcome, "error": json.dumps(error_as_data(e))}


def _placement(device: str, num_actors: int, num_parts: int) -> Placement:
    resources = cluster_resources()
    if device == "cpu":
        return place_on_cores(num_actors, num_cpus=resources.num_cpus, num_requests=num_parts)
    # A model alone fills a GPU, so one actor for each is enough.
    gpus = max(1, int(resources.num_gpus))
    return place_on_gpus(gpus, num_gpus=gpus, num_cpus=resources.num_cpus_beside_gpus, num_requests=num_parts)
