"""Which clips make up a shard: a rule of the manifest and the spec alone, so that no number of actors changes a byte.

Enters: a manifest, a spec and a size. Leaves: one `ShardRequest` per shard, or estimates of rows and bytes.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from pipelines.feature_spec import FeatureSpec, seconds_to_samples
from pipelines.manifest import Clip, Manifest, shards
from pipelines.shards.request import ShardRequest
from storage.identity import content_hash

# Small data sets are cut finer than the size asks for, so that many actors have work: about 256 shards, four for each
# of 64 actors, but not below 16 clips, where writing and scheduling would begin to count.
_NUM_SHARDS = 256
_FEW_CLIPS = 16

# Of files whose duration the manifest does not know. Low rates on purpose: rather too many rows than too large shards.
_PLAIN_SUFFIXES = {".wav", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64"}
_PLAIN_BYTES_PER_S = 44_100  # 16 bits, mono, 22.05 kHz
_CODED_BYTES_PER_S = 8_000  # 64 kbit/s
_UNKNOWN_S = 60.0


def plan_shards(manifest: Manifest, spec: FeatureSpec, *, shard_bytes: int, clips_per_shard: int) -> list[ShardRequest]:
    """Cuts the clips, in order of their ids, into shards.

    Args:
        shard_bytes: of uncompressed log-mels in a shard, at most, as far as rows can be told before decoding; a clip
            that is larger by itself is a shard by itself.
        clips_per_shard: takes the place of the rule where it is above 0.
    """
    clips = manifest.clips
    cut = shards(clips, clips_per_shard) if clips_per_shard else _by_size(clips, spec, shard_bytes)
    return [
        ShardRequest(
            index=index,
            clips_hash=content_hash(list(of_shard), length=12),
            root=manifest.root,
            endpoint_url=manifest.endpoint_url,
            clips=of_shard,
        )
        for index, of_shard in enumerate(cut)
    ]


def estimated_rows(clip: Clip, spec: FeatureSpec) -> int:
    """Rows of a clip in all variants, from its duration, or its size where that is unknown; 1 or more."""
    if spec.windows == "first":
        return len(spec.variants)
    num_samples = seconds_to_samples(_estimated_duration_s(clip), spec.sample_rate_hz)
    return len(spec.variants) * max(1, len(spec.window_starts(num_samples, clip.clip_id)))


def bytes_per_row(spec: FeatureSpec) -> int:
    """Of an uncompressed log-mel, or whatever the spec computes."""
    return math.prod(spec.feature_shape) * {"uint8": 1, "float16": 2, "float32": 4}[spec.dtype]


def _by_size(clips: Sequence[Clip], spec: FeatureSpec, shard_bytes: int) -> Iterator[tuple[Clip, ...]]:
    most_clips = max(_FEW_CLIPS, math.ceil(len(clips) / _NUM_SHARDS))
    shard: list[Clip] = []
    size_bytes = 0
    for clip in clips:
        clip_bytes = estimated_rows(clip, spec) * bytes_per_row(spec)
        if shard and (len(shard) == most_clips or size_bytes + clip_bytes > shard_bytes):
            yield tuple(shard)
            shard, size_bytes = [], 0
        shard.append(clip)
        size_bytes += clip_bytes
    yield tuple(shard)


def _estimated_duration_s(clip: Clip) -> float:
    if clip.duration_s is not None:
        return clip.duration_s
    if clip.size_bytes is None:
        return _UNKNOWN_S
    plain = PurePosixPath(clip.uri).suffix.lower() in _PLAIN_SUFFIXES
    return max(clip.size_bytes / (_PLAIN_BYTES_PER_S if plain else _CODED_BYTES_PER_S) - clip.offset_s, 0.0)
