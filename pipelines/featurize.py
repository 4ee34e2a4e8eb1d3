"""The pipeline: a manifest becomes a complete feature store, or nothing that a reader could mistake for one.

Enters: a manifest, a spec and a store. Ray Data spreads the missing shards over actors; the driver counts what comes
back, reconciles clips in = clips with rows + clips quarantined, and writes the commit marker last. The only file of
this room that imports Ray.
"""

import dataclasses
import importlib.metadata
import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ray

from cluster.session import cluster_resources
from pipelines.backends import create_backend
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Manifest, shards
from pipelines.shard_task import ShardRequest, ShardWorker
from storage.errors import InvalidInput, StorageError
from storage.feature_store import FeatureStore, Shard
from storage.identity import content_hash
from storage.object_store import ObjectStore

# Half a core each: the actors together never ask for the whole machine, so no task of Ray Data's own can be starved by
# them (a job whose actors held every core hung without a word; seen on Ray 2.60 with 2 cores).
_CPUS_PER_ACTOR = 0.5
# Ray Data would restart an actor without end, and a file that crashes the decoder would loop without a word.
_MAX_WORKER_DEATHS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineSettings:
    """How featurizing is spread; none of it changes a number.

    Attributes:
        backend: `cpu` or `dali`.
        device: `cpu` or `cuda`, for backends that know one.
        clips_per_shard: clips that travel, are computed and are stored together.
        num_actors: worker processes; 0 for one per core (per GPU with device=cuda).
    """

    backend: str = "cpu"
    device: str = "cpu"
    clips_per_shard: int = 40
    num_actors: int = 0

    def __post_init__(self) -> None:
        if self.clips_per_shard < 1:
            raise InvalidInput(
                "pipeline.clips_per_shard", given=self.clips_per_shard, allowed="1 or more", remedy="Raise it."
            )
        if self.num_actors < 0:
            raise InvalidInput(
                "pipeline.num_actors", given=self.num_actors, allowed="0 or more", remedy="Use 0 for one per core."
            )
        if self.device not in ("cpu", "cuda"):
            raise InvalidInput(
                "pipeline.device", given=self.device, allowed="cpu or cuda", remedy="Choose one of these."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturizeResult:
    """The complete features and how they came about."""

    features: FeatureStore
    num_clips: int
    num_rows: int
    num_quarantined: int
    num_clips_computed: int


def featurize(
    manifest: Manifest,
    spec: FeatureSpec,
    store: ObjectStore,
    settings: PipelineSettings,
    *,
    on_progress: Callable[[int, int], None] = lambda clips_done, clips_in_all: None,
) -> FeaturizeResult:
    """Makes the features of a data set complete, computing only the shards that are missing.

    Killed at any moment, it leaves whole shards and no commit marker; the same call goes on from there. Needs an
    initialised Ray unless everything is there already.

    Args:
        on_progress: called with the number of clips done and of all clips.

    Raises:
        InvalidInput: the backend does not exist or cannot run here.
        StorageError: a store could not be read or written, or the counts do not close.
    """
    features = FeatureStore(store, dataset=manifest.dataset, fingerprint=spec.fingerprint)
    marker = features.marker()
    if marker is not None:
        counts = {name: int(marker[name]) for name in ("num_clips", "num_rows", "num_quarantined")}
        return FeaturizeResult(features=features, num_clips_computed=0, **counts)
    if settings.device == "cpu":
        create_backend(settings.backend, spec)  # a wrong name is told here, before any actor starts
    requests = _requests(manifest, settings.clips_per_shard)
    done = _finished(requests, features)
    missing = [request for request in requests if request.index not in done]
    clips_done = sum(shard.num_clips for shard in done.values())
    on_progress(clips_done, len(manifest.clips))
    for shard in _compute(missing, spec, features, settings):
        done[shard.index] = shard
        clips_done += shard.num_clips
        on_progress(clips_done, len(manifest.clips))
    _reconcile(manifest, requests, done, features)
    all_shards = [done[index] for index in sorted(done)]
    marker = features.commit(all_shards, spec=dataclasses.asdict(spec), versions=_versions())
    return FeaturizeResult(
        features=features,
        num_clips=marker["num_clips"],
        num_rows=marker["num_rows"],
        num_quarantined=marker["num_quarantined"],
        num_clips_computed=sum(len(request.clips) for request in missing),
    )


def _finished(requests: list[ShardRequest], features: FeatureStore) -> dict[int, Shard]:
    """What an earlier, interrupted run has left whole."""
    present = features.finished_shards()
    there = [request for request in requests if (request.index, request.clips_hash) in present]
    found = [features.find_shard(request.index, request.clips_hash) for request in there]
    return {shard.index: shard for shard in found if shard is not None}


def _requests(manifest: Manifest, clips_per_shard: int) -> list[ShardRequest]:
    return [
        ShardRequest(
            index=index,
            clips_hash=content_hash(list(clips), length=12),
            root=manifest.root,
            endpoint_url=manifest.endpoint_url,
            clips=clips,
        )
        for index, clips in enumerate(shards(manifest.clips, clips_per_shard))
    ]


class _FeaturizeShard:
    """What Ray Data makes actors of: a batch of one request in, one row of counts, or an error, out.

    Our own errors travel as data: Ray Data 2.60 wraps what a worker raises into an exception that has lost its cause,
    or adds its own words to it, and reports an error of a constructor as a dead actor.
    """

    def __init__(self, spec: FeatureSpec, features: FeatureStore, settings: PipelineSettings) -> None:
        self._make_worker = lambda: ShardWorker(spec, features, backend=settings.backend, device=settings.device)
        self._worker: ShardWorker | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        return {"outcome": [json.dumps(self._outcome(ShardRequest.from_json(text))) for text in batch["request"]]}

    def _outcome(self, request: ShardRequest) -> dict[str, Any]:
        try:
            self._worker = self._worker or self._make_worker()
            return dataclasses.asdict(self._worker.compute(request))
        except StorageError as e:
            return {"storage_error": str(e)}
        except InvalidInput as e:
            return {
                "invalid_input": {"field": e.field, "given": str(e.given), "allowed": e.allowed, "remedy": e.remedy}
            }


def _compute(
    requests: list[ShardRequest], spec: FeatureSpec, features: FeatureStore, settings: PipelineSettings
) -> Iterator[Shard]:
    if not requests:
        return
    on_gpu = settings.device == "cuda"
    resources = cluster_resources()
    if on_gpu and resources.num_gpus < 1:  # Ray would wait for one without a word
        raise InvalidInput(
            "pipeline.device",
            given="cuda",
            allowed="cpu, as no node of the Ray cluster has a GPU now",
            remedy="Set pipeline.device=cpu, or start a node with a GPU first.",
        )
    machine = resources.num_gpus if on_gpu else resources.num_cpus
    num_actors = min(settings.num_actors or max(1, math.floor(machine)), len(requests))
    ray.data.DataContext.get_current().enable_progress_bars = False  # on_progress tells it in clips
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [{"request": request.to_json()} for request in requests]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _FeaturizeShard,
        fn_constructor_args=(spec, features, settings),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=num_actors),
        num_cpus=_CPUS_PER_ACTOR,
        num_gpus=1 if on_gpu else None,
        max_restarts=_MAX_WORKER_DEATHS,
        max_task_retries=_MAX_WORKER_DEATHS,
    )
    for outcome in _outcomes(dataset):
        if "storage_error" in outcome:
            raise StorageError(outcome["storage_error"])
        if "invalid_input" in outcome:
            raise InvalidInput(outcome["invalid_input"].pop("field"), **outcome["invalid_input"])
        yield Shard(**outcome)


def _outcomes(dataset: Any) -> Iterator[dict[str, Any]]:
    try:
        for row in dataset.iter_rows():
            yield json.loads(row["outcome"])
    except ray.exceptions.ActorDiedError as e:
        raise StorageError(
            f"a worker process died {_MAX_WORKER_DEATHS + 1} times: out of memory, or a file that crashes the decoder. "
            "Nothing was committed; see Ray's logs, lower pipeline.clips_per_shard to find the file."
        ) from e


def _reconcile(
    manifest: Manifest, requests: list[ShardRequest], done: dict[int, Shard], features: FeatureStore
) -> None:
    """Holds that every clip has rows or a reason. Reads the ids back from the store rather than trusting counters."""
    expected = {clip.clip_id for clip in manifest.clips}
    found: set[str] = set()
    lost_rows: list[str] = []
    for request in requests:
        shard = done.get(request.index)
        if shard is None:  # its clips are told below
            continue
        clip_ids, num_rows = features.read_back(shard)
        found |= clip_ids
        if shard.clips_hash != request.clips_hash:
            raise StorageError(
                f"{features.uri}: shard {shard.index} was made from other clips. Delete the folder and rerun."
            )
        if num_rows != shard.num_rows:
            lost_rows.append(f"shard {shard.index} has {num_rows} of {shard.num_rows} rows")
    if found != expected:
        lost, strange = sorted(expected - found), sorted(found - expected)
        raise StorageError(
            f"{features.uri}: of {len(expected)} clips {len(lost)} have neither features nor a reason "
            f"(first: {lost[:1]}), {len(strange)} are unknown (first: {strange[:1]}). Nothing was committed; "
            "delete the folder and run the same command again."
        )
    if all(shard.num_rows == 0 for shard in done.values()):
        raise StorageError(
            f"{features.uri}: every one of {len(expected)} clips would be quarantined. Nothing was committed. Check "
            "that the recordings can be read and decoded on every node, empty the folder and run again."
        )
    if lost_rows:  # a clip of several windows can lose one and still be found
        raise StorageError(f"{features.uri}: {lost_rows[0]}. Delete the folder and run the same command again.")


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "soundfile", "soxr", "ray")}
