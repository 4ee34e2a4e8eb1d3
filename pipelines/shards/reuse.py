"""Appending: a clip that an earlier version of the data set has features of, unchanged, is copied and not computed.

A data set whose clips change has another id, and so another folder. Enters: requests for missing shards. Leaves: the
same requests, with the parts of earlier versions in which their unchanged clips stand. Rows are copied, so that every
folder stands by itself: it is immutable, may be deleted alone, and has the bytes that computing all of it would give.
"""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip, Manifest
from pipelines.shards.request import EarlierPart, ShardRequest
from storage.errors import StorageError
from storage.feature_store import FeatureStore
from storage.identity import content_hash
from storage.shards import ShardContent


def clip_hash(clip: Clip) -> str:
    """Of all that the manifest says of one clip, the mark of its content too; a `clips_hash` is of a whole shard."""
    return content_hash(clip, length=32)


def reusable_clips(
    requests: Sequence[ShardRequest], contents: Mapping[int, ShardContent], spec: FeatureSpec
) -> list[dict[str, str | int]]:
    """The clips that later versions may copy: their content is marked, and every variant has rows."""
    return [
        {"clip_id": clip.clip_id, "clip_hash": clip_hash(clip), "shard": request.index}
        for request in requests
        for clip in request.clips
        if clip.content
        and all((clip.clip_id, variant) in contents[request.index].with_rows for variant in spec.variants)
    ]


def with_earlier_rows(
    requests: Iterable[ShardRequest], manifest: Manifest, features: FeatureStore
) -> list[ShardRequest]:
    """The requests with what can be copied for them; reads a listing, and one small object per earlier version."""
    requests = list(requests)
    wanted = {clip_hash(clip): clip.clip_id for request in requests for clip in request.clips if clip.content}
    places: dict[str, tuple[str, int, str]] = {}  # clip id → data set, index and clips_hash of a part
    for earlier in _earlier_versions(manifest, features) if wanted else ():
        places = {**_places(earlier, wanted), **places}
    return [_with_places(request, places) for request in requests]


def _earlier_versions(manifest: Manifest, features: FeatureStore) -> list[FeatureStore]:
    pattern = re.compile(
        rf"features/({re.escape(manifest.name)}-[0-9a-f]{{12}})/{features.fingerprint}/_MANIFEST\.json"
    )
    keys = (info.key for info in features.store.list(f"features/{manifest.name}-"))
    datasets = [match[1] for match in map(pattern.fullmatch, keys) if match and match[1] != features.dataset]
    return [FeatureStore(features.store, dataset=name, fingerprint=features.fingerprint) for name in datasets]


def _places(earlier: FeatureStore, wanted: Mapping[str, str]) -> dict[str, tuple[str, int, str]]:
    try:
        marker, clips = earlier.marker(), earlier.clips()
    except StorageError:  # damaged; whoever reads that version is told, and here it only saves work
        return {}
    hashes = {index: clips_hash for index, clips_hash, _ in marker["shards"]} if marker else {}
    columns = (clips.column(name).to_pylist() for name in ("clip_hash", "shard"))
    return {
        wanted[found]: (earlier.dataset, shard, hashes[shard])
        for found, shard in zip(*columns, strict=True)
        if found in wanted and shard in hashes
    }


def _with_places(request: ShardRequest, places: Mapping[str, tuple[str, int, str]]) -> ShardRequest:
    clip_ids: dict[tuple[str, int, str], list[str]] = defaultdict(list)
    for clip in request.clips:
        if clip.clip_id in places:
            clip_ids[places[clip.clip_id]].append(clip.clip_id)
    parts = tuple(
        EarlierPart(dataset=dataset, index=index, clips_hash=clips_hash, clip_ids=tuple(ids))
        for (dataset, index, clips_hash), ids in clip_ids.items()
    )
    return dataclasses.replace(request, earlier=parts)
