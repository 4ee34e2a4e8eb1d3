"""The pipeline: a manifest becomes a complete feature store, or nothing that a reader could mistake for one.

Enters: a manifest, a spec and a store. Ray Data spreads the missing shards over actors; the driver counts what comes
back, reconciles clips in = clips with rows + clips quarantined, variant by variant, and writes the commit marker last.
The only file of this room that asks the cluster for work.
"""

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import math
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.actor_map import map_by_actors
from cluster.metrics import CLIPS, QUARANTINED_CLIPS, count
from cluster.session import ClusterResources, cluster_resources
from cluster.waiting import wait_for_node
from pipelines.backends import backends_for, check_expressible, create_backend
from pipelines.feature_spec import FeatureSpec
from pipelines.iq.uri import check_signals
from pipelines.manifest import Manifest
from pipelines.shards.actor import ShardActor
from pipelines.shards.placement import Placement, place_on_cores, place_on_gpus
from pipelines.shards.plan import plan_shards
from pipelines.shards.reconcile import reconcile
from pipelines.shards.request import ShardRequest, shard_of
from pipelines.shards.reuse import reusable_clips, with_earlier_rows
from pipelines.shards.worker import ShardWorker
from storage.errors import InvalidInput
from storage.feature_store import FeatureStore, Shard
from storage.object_store import ObjectStore
from storage.vigil import Vigil

_BACKENDS_ON_GPU = ("dali", "torch")  # the faster first


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineSettings:
    """How featurizing is spread; no row depends on it but those of clips that a limit ended.

    Attributes:
        backend: `cpu`, `dali` or `torch`; `auto` for dali where the cluster has a GPU, or for torch, or for cpu, the
            first of them that computes what the spec asks for; else cpu.
        device: `cpu` or `cuda`, for backends that know one; `auto` for cuda where the cluster has a GPU.
        shard_bytes: of uncompressed log-mels that travel, are computed and are stored together, at most; small data
            sets are cut finer (pipelines/shards/plan.py has the rule, which knows nothing of actors).
        clips_per_shard: so many clips a shard instead; 0 for the rule.
        num_actors: worker processes; 0 for one per core, with device=cuda for one per core beside a GPU, at most 16 to
            each GPU, which they share (pipelines/shards/placement.py).
        clip_time_limit_s: a clip that takes longer to decode and compute is quarantined as timed_out. A clip out of a
            longer file is fetched while it is decoded, and that counts too.
        retry: shards with something quarantined for one of these reasons are computed again, as [timed_out].
    """

    backend: str = "auto"
    device: str = "auto"
    shard_bytes: int = 64 * 1024 * 1024
    clips_per_shard: int = 0
    num_actors: int = 0
    clip_time_limit_s: float = 120.0
    retry: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.clips_per_shard < 0:
            raise InvalidInput(
                "pipeline.clips_per_shard",
                given=self.clips_per_shard,
                allowed="0 or more",
                remedy="Use 0 to follow shard_bytes.",
            )
        if self.shard_bytes < 1:
            raise InvalidInput("pipeline.shard_bytes", given=self.shard_bytes, allowed="1 or more", remedy="Raise it.")
        if self.num_actors < 0:
            raise InvalidInput(
                "pipeline.num_actors", given=self.num_actors, allowed="0 or more", remedy="Use 0 for one per core."
            )
        if not 0 < self.clip_time_limit_s < math.inf:
            raise InvalidInput(
                "pipeline.clip_time_limit_s", given=self.clip_time_limit_s, allowed="above 0", remedy="Raise it."
            )
        if self.device not in ("auto", "cpu", "cuda"):
            raise InvalidInput(
                "pipeline.device", given=self.device, allowed="auto, cpu or cuda", remedy="Choose one of these."
            )

    def resolved(self, num_gpus: float, spec: FeatureSpec) -> "PipelineSettings":
        """With `auto` replaced by what a cluster of so many GPUs and the spec call for.

        Raises:
            InvalidInput: `device: cuda`, and no backend computes this spec on a GPU.
        """
        backend = self.backend
        if backend == "auto":
            on_gpu = self.device == "cuda" or (self.device == "auto" and num_gpus >= 1)
            able = backends_for(spec)
            backend = next((name for name in _BACKENDS_ON_GPU if on_gpu and name in able), "cpu")
            if self.device == "cuda" and backend == "cpu":
                raise InvalidInput(
                    "pipeline.device",
                    given=self.device,
                    allowed=f"cpu or auto, as only the backend cpu computes {spec.representation}",
                    remedy="Set pipeline.device=cpu.",
                )
        device = self.device
        if device == "auto":
            device = "cuda" if backend != "cpu" and num_gpus >= 1 else "cpu"
        return dataclasses.replace(self, backend=backend, device=device)


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturizeResult:
    """The complete features and how they came about; the counts are those of `Shard`, summed.

    Attributes:
        num_clips_computed, num_clips_copied: now, by this call; copied from an earlier version of the data set.
    """

    features: FeatureStore
    num_clips: int
    num_rows: int
    num_quarantined: int
    num_variants_quarantined: int
    num_clips_computed: int = 0
    num_clips_copied: int = 0


def featurize(
    manifest: Manifest,
    spec: FeatureSpec,
    store: ObjectStore,
    settings: PipelineSettings,
    *,
    on_progress: Callable[[int, int], None] = lambda clips_done, clips_in_all: None,
) -> FeaturizeResult:
    """Makes the features of a data set complete, computing only what is missing.

    What is missing are shards; in them, unchanged clips of earlier versions of the data set are copied (`reuse.py`).

    Killed at any moment, it leaves whole shards and no commit marker; the same call goes on from there. Needs an
    initialised Ray unless everything is there already.

    Args:
        on_progress: called with the number of clips done and of all clips.

    Raises:
        InvalidInput: the backend does not exist, cannot run here or cannot express the spec, or the spec's
            representation is not for these clips.
        StorageError: a store could not be read or written, or the counts do not close.
        VersionsDiffer: a node that has come meanwhile has other packages.
    """
    features = FeatureStore(store, dataset=manifest.dataset, fingerprint=spec.fingerprint)
    if settings.retry:
        features.forget(settings.retry)
    marker = features.marker()
    if marker is not None and not features.has_all_objects(marker):
        features.withdraw()  # somebody deleted a part, a damaged one perhaps: only what is missing is computed again
        marker = None
    if marker is not None:
        return _result(features, marker, computed=())
    # What cannot work is told here, before any actor starts.
    check_signals(manifest.clips, spec)
    if settings.backend != "auto":
        check_expressible(settings.backend, spec)
        if settings.device != "cuda":
            create_backend(settings.backend, spec)
    requests = plan_shards(manifest, spec, shard_bytes=settings.shard_bytes, clips_per_shard=settings.clips_per_shard)
    done = finished_shards(requests, features)
    missing = [request for request in requests if request.index not in done]
    missing = with_earlier_rows(missing, manifest, features)
    clips_done = sum(shard.num_clips for shard in done.values())
    on_progress(clips_done, len(manifest.clips))
    for shard in _compute(missing, spec, features, settings):
        done[shard.index] = shard
        clips_done += shard.num_clips
        count(CLIPS, shard.num_clips, features=spec.fingerprint)
        count(QUARANTINED_CLIPS, shard.num_quarantined, features=spec.fingerprint)
        on_progress(clips_done, len(manifest.clips))
    contents = reconcile(manifest, spec, requests, done, features)
    features.write_clips(reusable_clips(requests, contents, spec))
    all_shards = [done[index] for index in sorted(done)]
    marker = features.commit(all_shards, spec=dataclasses.asdict(spec), versions=_versions())
    return _result(features, marker, computed=missing)


def _result(features: FeatureStore, marker: dict[str, Any], *, computed: Sequence[ShardRequest]) -> FeaturizeResult:
    num_clips_copied = sum(request.num_clips_copied for request in computed)
    return FeaturizeResult(
        features=features,
        num_clips=marker["num_clips"],
        num_rows=marker["num_rows"],
        num_quarantined=marker["num_quarantined"],
        num_variants_quarantined=marker["num_variants_quarantined"],
        num_clips_computed=sum(len(request.clips) for request in computed) - num_clips_copied,
        num_clips_copied=num_clips_copied,
    )


def finished_shards(requests: list[ShardRequest], features: FeatureStore) -> dict[int, Shard]:
    """What an earlier, interrupted run has left whole."""
    present = features.finished_shards()
    there = [request for request in requests if (request.index, request.clips_hash) in present]
    found = [features.find_shard(request.index, request.clips_hash) for request in there]
    return {shard.index: shard for shard in found if shard is not None}


def _compute(
    requests: list[ShardRequest], spec: FeatureSpec, features: FeatureStore, settings: PipelineSettings
) -> Iterator[Shard]:
    if not requests:
        return
    wait_for_node(num_cpus=1.0, num_gpus=1.0 if settings.device == "cuda" else 0.0)
    resources = cluster_resources()
    settings = settings.resolved(resources.num_gpus, spec)
    if settings.device == "cuda" and resources.num_gpus < 1:  # Ray would wait for one without a word
        raise InvalidInput(
            "pipeline.device",
            given="cuda",
            allowed="cpu, as no node of the Ray cluster has a GPU now",
            remedy="Set pipeline.device=cpu, or start a node with a GPU first.",
        )
    placement = _placement(settings, resources, len(requests))
    make_worker = functools.partial(ShardWorker, spec, features, backend=settings.backend, device=settings.device)
    answers = map_by_actors(
        [{"request": request.to_json()} for request in requests],
        ShardActor,
        (pickle.dumps(make_worker), settings.clip_time_limit_s),
        num_actors=placement.num_actors,
        num_cpus=placement.num_cpus,
        num_gpus=placement.num_gpus,
    )
    with Vigil(features.store) as vigil, contextlib.closing(answers):
        for row in answers:  # what a file does to its decoder stays inside IsolatedWorker
            yield shard_of(json.loads(row["outcome"]))
            vigil.check()


def _placement(settings: PipelineSettings, resources: ClusterResources, num_requests: int) -> Placement:
    if settings.device != "cuda":
        return place_on_cores(settings.num_actors, num_cpus=resources.num_cpus, num_requests=num_requests)
    return place_on_gpus(
        settings.num_actors,
        num_gpus=resources.num_gpus,
        num_cpus=resources.num_cpus_beside_gpus,
        num_requests=num_requests,
    )


def _versions() -> dict[str, str]:
    packages = ("numpy", "scipy", "soundfile", "soxr", "librosa", "ray")
    return {name: importlib.metadata.version(name) for name in packages}
