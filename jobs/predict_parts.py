"""From feature rows to predictions of recordings, here or spread over a cluster by Ray Data.

Enters: complete features and a model file's bytes. Leaves: predictions, shard by shard as each is finished.
Log-mels stay on the worker that reads them; only predictions travel, so the driver alone writes them.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from cluster.actor_map import map_by_actors
from cluster.metrics import count_s3_bytes
from cluster.session import cluster_resources
from cluster.versions import Versions
from pipelines.isolation.outcomes import error_as_data, raise_error
from pipelines.shards.placement import Placement, place_on_cores, place_on_gpus
from storage import traffic
from storage.feature_store import Features, FeatureStore
from storage.model_file import ModelCard, from_bytes
from storage.part_rows import PartRows
from storage.predictions import NUM_BEST, RecordingPrediction, part_bytes
from storage.vigil import Vigil
from training.inference import Aggregate, Predictor, of_recordings


@dataclass(frozen=True, kw_only=True, slots=True)
class Answering:
    """How windows become the answer for a recording.

    Attributes:
        threshold: from which a label holds, where the model is one of several labels.
    """

    aggregate: Aggregate
    threshold: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What a model says of some recordings, in the order of their features.

    Attributes:
        not_finite: recordings without a prediction, as a probability of theirs is NaN.
    """

    predictions: tuple[RecordingPrediction, ...]
    not_finite: tuple[str, ...]


def predict_features(predictor: Predictor, features: Features, answering: Answering) -> Answers:
    """One prediction per recording; those that have none, as NaN sorts anywhere, do not stop the others."""
    place_of: dict[str, int] = {}
    recording_of_row = np.array(
        [place_of.setdefault(clip_id, len(place_of)) for clip_id in features.clip_ids], dtype=np.int64
    )
    found = of_recordings(predictor(features.log_mel), recording_of_row, aggregate=answering.aggregate)
    finite = np.isfinite(found.sum(axis=1))
    num_windows = np.bincount(recording_of_row, minlength=len(place_of)).tolist()
    predictions = tuple(
        _prediction(recording, num_windows[place], found[place].tolist(), predictor.card, answering)
        for recording, place in place_of.items()
        if finite[place]
    )
    not_finite = tuple(recording for recording, place in place_of.items() if not finite[place])
    return Answers(predictions=predictions, not_finite=not_finite)


def why_refused(recording: str, uri: str) -> dict[str, str]:
    """The row of a quarantine (QUARANTINE_SCHEMA) for a recording of `Answers.not_finite`."""
    detail = "the model's probabilities are not finite"
    return {"clip_id": recording, "variant": "original", "uri": uri, "reason": "not_finite", "detail": detail}


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


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictedPart:
    """What a worker makes of a part of the features.

    Attributes:
        data: a part of `storage.predictions`.
        not_finite: recordings that are not in it.
        events: what a reader of the log should know, one sentence each.
    """

    num_predicted: int
    data: bytes
    not_finite: tuple[str, ...]
    events: tuple[str, ...]


def predict_parts(
    features: FeatureStore,
    parts: Sequence[PartRows],
    model: bytes,
    answering: Answering,
    *,
    device: str,
    num_actors: int = 0,
) -> Iterator[tuple[PartRows, PredictedPart]]:
    """Predicts shards of features on the session's cluster, each as one piece of work.

    Args:
        model: the bytes of a model file; they travel to every node once.
        device: `cpu` or `cuda`.
        num_actors: that work at once on CPUs; 0 for one per core. On GPUs it is one each.

    Yields:
        What has been predicted, as it is ready.

    Raises:
        InvalidInput, StorageError: of a worker.
        VersionsDiffer: a node that has come meanwhile has other packages.
    """
    if not parts:
        return
    placement = _placement(device, num_actors, len(parts))
    rows = [{"number": number, "index": part.index, "clips_hash": part.clips_hash} for number, part in enumerate(parts)]
    answers = map_by_actors(
        rows,
        PredictionActor,
        (features, ray.put(model), answering, device),
        num_actors=placement.num_actors,
        num_cpus=placement.num_cpus,
        num_gpus=placement.num_gpus,
    )
    with Vigil(features.store) as vigil, contextlib.closing(answers):
        for row in answers:
            outcome = json.loads(row["outcome"])
            raise_error(outcome)
            yield (
                parts[row["number"]],
                PredictedPart(
                    num_predicted=outcome["num_predicted"],
                    data=row["data"],
                    not_finite=tuple(outcome["not_finite"]),
                    events=tuple(outcome["events"]),
                ),
            )
            vigil.check()


class PredictionActor:
    """What Ray Data makes actors of: shards in, tables, or errors as data, out. Holds the model."""

    def __init__(
        self, features: FeatureStore, model: Any, answering: Answering, device: str, versions: Versions
    ) -> None:
        traffic.listen(count_s3_bytes)
        self._features, self._answering = features, answering
        self._refusal = versions.refusal()
        if self._refusal:
            return
        tensors, card = from_bytes(ray.get(model), name="the model")
        self._events: list[str] = []
        self._predictor = Predictor(tensors, card, device=device, on_event=self._events.append)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        shards = zip(batch["index"].tolist(), batch["clips_hash"].tolist(), strict=True)
        outcomes = [self._outcome(index, clips_hash) for index, clips_hash in shards]
        return {
            "number": batch["number"].tolist(),
            "outcome": [json.dumps(outcome) for outcome, _ in outcomes],
            "data": [data for _, data in outcomes],
            "refusal": [self._refusal] * len(outcomes),
        }

    def _outcome(self, index: int, clips_hash: str) -> tuple[dict[str, Any], bytes]:
        if self._refusal:
            return {}, b""
        self._events.clear()
        try:
            features = Features.of_rows(self._features.read_shard(index, clips_hash))
            found = predict_features(self._predictor, features, self._answering)
            outcome = {
                "num_predicted": len(found.predictions),
                "not_finite": list(found.not_finite),
                "events": list(self._events),
            }
            return outcome, part_bytes(found.predictions)
        except Exception as e:  # as data, as Ray Data 2.60 loses the cause of an exception that a worker raises
            return error_as_data(e), b""


def _placement(device: str, num_actors: int, num_parts: int) -> Placement:
    resources = cluster_resources()
    if device == "cpu":
        return place_on_cores(num_actors, num_cpus=resources.num_cpus, num_requests=num_parts)
    # A model alone fills a GPU, so one actor for each is enough.
    gpus = max(1, int(resources.num_gpus))
    return place_on_gpus(gpus, num_gpus=gpus, num_cpus=resources.num_cpus_beside_gpus, num_requests=num_parts)
