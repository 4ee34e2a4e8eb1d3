"""Uses a trained model: what is heard in a recording, or in each of thousands.

python jobs/predict.py model=models/<sweep>/<trial>/seed=42.safetensors files=recording.wav
python jobs/predict.py model=model.safetensors files=<folder or s3://bucket/prefix> windows=all
python jobs/predict.py model=s3://bucket/model.safetensors files=<folder> out=<folder or s3://…>

One file: the most probable labels, in the terminal. A folder or prefix, or any place with `out`: Parquet, one row per
recording; the features are made by the pipeline of jobs/featurize.py and kept in the store, where jobs/collect.py
lists them as what no sweep refers to. Run again, it goes on.

The model's file says what features it needs. Recordings that cannot be decoded are named, and stop none of the others.
"""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cluster.session import cluster_resources, ray_session
from cluster.waiting import wait_for_node
from jobs.command_line import parse_settings, usage
from jobs.console import print_table, progress, run_job, say
from jobs.given_model import GivenModel, open_model, require_places
from jobs.model_features import Windows, prediction_spec
from jobs.places import StorageSettings
from jobs.predict_parts import Answering, predict_features, predict_parts, why_refused
from jobs.settings import ClusterSettings
from jobs.stages import complete_features_of, open_checked_store
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings
from pipelines.few_clips import features_of_few
from pipelines.manifest import Manifest
from pipelines.sources.unlabelled import all_files, one_file
from storage.errors import InvalidInput, StorageError, hold_rules
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore, open_store
from storage.part_rows import parts_with_rows
from storage.predictions import Predictions, RecordingPrediction
from training.inference import Aggregate, InferenceModel, Predictor, precision_on

_NUM_NAMED = 20
_NUM_SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictSettings:
    """Which model, which recordings, and how windows become an answer.

    Attributes:
        model: a path, an s3:// uri, or a key below models/ of the store.
        files: an audio file, a folder, or an s3:// prefix.
        files_endpoint_url: of an S3 server with the recordings other than AWS; null for AWS_ENDPOINT_URL.
        out: an empty folder or s3:// prefix for the predictions; empty for a place below predictions/ of the store.
        windows: where recordings are cut: as the model's clips were (`model`), at the start only (`first`), every
            window_hop_s to the end (`all`), or as many, evenly `spaced`. A limit of windows holds for `model` alone.
        window_hop_s: null for the model's own, or a window's length where `windows` is not the model's.
        aggregate: a recording's probability of a label is the `mean` or the `max` of its windows'.
        threshold: from which a label holds, of models of several labels.
        device: of the model; `auto` takes a GPU where there is one.
        storage: where features, predictions and the models of sweeps are.
    """

    model: str = ""
    files: str = ""
    files_endpoint_url: str | None = None
    out: str = ""
    windows: Windows = "model"
    window_hop_s: float | None = None
    aggregate: Aggregate = "mean"
    threshold: float = 0.5
    device: Literal["auto", "cpu", "cuda"] = "auto"
    pipeline: PipelineSettings = field(default_factory=PipelineSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)

    def __post_init__(self) -> None:
        hold_rules("predict", self, {"threshold": (0 <= self.threshold <= 1, "in [0, 1]")})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """What both ways of predicting share."""

    settings: PredictSettings
    model: GivenModel
    spec: FeatureSpec
    manifest: Manifest

    @property
    def answering(self) -> Answering:
        return Answering(aggregate=self.settings.aggregate, threshold=self.settings.threshold)


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_predict, argv, usage=usage(__doc__, PredictSettings))


def _predict(words: Sequence[str]) -> int:
    settings = parse_settings(PredictSettings, words)
    require_places(settings, ("model", "files"))
    model = open_model(settings)
    card = model.card
    spec = prediction_spec(card, windows=settings.windows, window_hop_s=settings.window_hop_s)
    single = one_file(settings.files, endpoint_url=settings.files_endpoint_url)
    manifest = single or _find_all(settings)
    work = _Work(settings=settings, model=model, spec=spec, manifest=manifest)
    say(f"{card.architecture}, seed {card.seed}, {len(card.labels)} labels, trained on {card.dataset}")
    if single is not None and not settings.out:
        return _predict_here(work)
    return _predict_many(work, open_checked_store(settings.storage))


def _find_all(settings: PredictSettings) -> Manifest:
    with progress("look at recordings, files") as tell:
        manifest = all_files(settings.files, endpoint_url=settings.files_endpoint_url, on_progress=tell)
    say(f"{len(manifest.clips)} recordings, {len(manifest.left_out)} other files left out")
    return manifest


def _predict_here(work: _Work) -> int:
    """One file, without Ray and without a trace."""
    predictor = Predictor(work.model.tensors, work.model.card, device=work.settings.device, on_event=say)
    pipeline = work.settings.pipeline.resolved(0, work.spec)
    features, quarantine = features_of_few(work.manifest, work.spec, pipeline)
    found = predict_features(predictor, features, work.answering)
    _name_quarantined([*quarantine, *_refused(work, found.not_finite)])
    for prediction in found.predictions:
        _print(prediction, work)
    return 0 if found.predictions else 2


def _print(prediction: RecordingPrediction, work: _Work) -> None:
    windows = (
        f"{prediction.num_windows} windows, {work.settings.aggregate}" if prediction.num_windows > 1 else "1 window"
    )
    rows = [
        (str(place), label, f"{100 * probability:.1f} %")
        for place, (label, probability) in enumerate(prediction.best, 1)
    ]
    print_table(f"{prediction.recording} ({windows})", ("rank", "label", "probability"), rows)
    if work.model.card.is_multi_label:
        say(f"from {work.settings.threshold:g} on: {', '.join(prediction.labels) or 'no label'}")


def _predict_many(work: _Work, store: ObjectStore) -> int:
    InferenceModel(work.model.tensors, work.model.card)  # refused here, before any worker starts
    cluster = work.settings.cluster
    with ray_session(address=cluster.address, num_cpus=cluster.num_cpus):
        device = _device(work.settings)
        about = _about(work, device)
        place = work.settings.out or _place_in(store, about)
        predictions = Predictions(open_store(place, endpoint_url=work.settings.storage.endpoint_url))
        predictions.claim(about)
        features = _features(work, store)
        counts = _predict_missing(work, features, predictions, device)
    _name_quarantined(predictions.quarantine().to_pylist())
    if not counts["num_predicted"]:
        raise StorageError(
            "the model's probabilities of all recordings are not finite. Take another model, or device=cpu."
        )
    _show_first(predictions)
    say(f"{counts['num_predicted']} of {counts['num_recordings']} recordings predicted, in {predictions.uri}")
    return 0


def _device(settings: PredictSettings) -> str:
    wait_for_node(num_cpus=1.0, num_gpus=1.0 if settings.device == "cuda" else 0.0)
    has_gpu = cluster_resources().num_gpus >= 1
    if settings.device == "cuda" and not has_gpu:  # Ray would wait for one without a word
        raise InvalidInput(
            "device",
            given="cuda",
            allowed="cpu, as no node of the Ray cluster has a GPU now",
            remedy="Set device=cpu, or start a node with a GPU first.",
        )
    return "cuda" if has_gpu and settings.device != "cpu" else "cpu"


def _features(work: _Work, store: ObjectStore) -> FeatureStore:
    try:
        return complete_features_of(work.manifest, work.spec, work.settings.pipeline, store).features
    except StorageError:  # nothing is committed where every recording is at fault; which and why is known all the same
        features = FeatureStore(store, dataset=work.manifest.dataset, fingerprint=work.spec.fingerprint)
        _name_quarantined(features.reasons_so_far().to_pylist())
        raise


def _predict_missing(work: _Work, features: FeatureStore, predictions: Predictions, device: str) -> dict[str, int]:
    marker = features.marker()
    assert marker is not None, "the features were just made complete"
    # A shard that was made again, as pipeline.retry does, may have other rows.
    parts = {part: f"{part.index:05d}-{part.clips_hash}-{part.rows_hash}" for part in parts_with_rows(features)}
    there = predictions.finished_parts(parts.values())
    missing = [part for part, name in parts.items() if name not in there]
    num_found = predictions.read(columns=["recording"]).num_rows
    done, in_all = num_found, marker["num_clips"] - marker["num_quarantined"]
    events: set[str] = set()
    with progress("predict, recordings") as tell:
        tell(done, in_all)
        for part, found in predict_parts(
            features,
            missing,
            work.model.data,
            work.answering,
            device=device,
            num_actors=work.settings.pipeline.num_actors,
        ):
            predictions.write_part(parts[part], found.data, _refused(work, found.not_finite))
            done += found.num_predicted
            events.update(found.events)
            tell(done, in_all)
    for event in sorted(events):  # of several workers, but the same
        say(event)
    say(f"{done - num_found} recordings predicted now, {num_found} found")
    return predictions.commit(features.quarantine(), num_recordings=marker["num_clips"])


def _refused(work: _Work, recordings: Sequence[str]) -> list[dict[str, str]]:
    uris = {clip.clip_id: clip.uri for clip in work.manifest.clips} if recordings else {}
    return [why_refused(recording, uris[recording]) for recording in recordings]


def _about(work: _Work, device: str) -> dict[str, Any]:
    card = work.model.card
    return {
        "model": {
            "sha256": hashlib.sha256(work.model.data).hexdigest(),
            "architecture": card.architecture,
            "seed": card.seed,
        },
        "labels": list(card.labels),
        "is_multi_label": card.is_multi_label,
        "dataset": work.manifest.dataset,
        "fingerprint": work.spec.fingerprint,
        "aggregate": work.settings.aggregate,
        "threshold": work.settings.threshold if card.is_multi_label else None,
        # Parts that are missing are not computed in other numbers than those that are there.
        "device": device,
        "precision": precision_on(device, card),
    }


def _place_in(store: ObjectStore, about: Mapping[str, Any]) -> str:
    summed = about["aggregate"] if about["threshold"] is None else f"{about['aggregate']}-{about['threshold']:g}"
    name = f"{about['model']['sha256'][:12]}-{about['fingerprint']}-{summed}-{about['device']}-{about['precision']}"
    return f"{store.uri}/predictions/{about['dataset']}/{name}"


def _name_quarantined(quarantine: Sequence[Mapping[str, str]]) -> None:
    for row in quarantine[:_NUM_NAMED]:
        say(f"cannot be used: {row['uri']}: {row['reason']} ({row['detail']})")
    if len(quarantine) > _NUM_NAMED:
        say(f"and {len(quarantine) - _NUM_NAMED} more; the predictions' quarantine.parquet names them all")


def _show_first(predictions: Predictions) -> None:
    found = predictions.read(columns=["recording", "num_windows", "label_1", "probability_1"])
    rows = [
        (row["recording"], str(row["num_windows"]), row["label_1"], f"{100 * row['probability_1']:.1f} %")
        for row in found.slice(0, _NUM_SHOWN).to_pylist()
    ]
    print_table(f"The first of {found.num_rows}", ("recording", "windows", "label", "probability"), rows)


if __name__ == "__main__":
    sys.exit(main())
