"""Shards follow from the manifest and the spec, and are as large as asked, but not larger."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip, Manifest
from pipelines.shards.plan import bytes_per_row, estimated_rows, plan_shards
from pipelines.shards.request import ShardRequest

SPEC = FeatureSpec()  # 64 × 108 × 2 bytes
EVERY_SECOND = FeatureSpec(windows="all", window_s=1.0, window_hop_s=1.0)
MIB = 2**20


def _manifest(num_clips: int, *, duration_s: float | None = None) -> Manifest:
    clips = (
        Clip(clip_id=f"{number:07d}", recording_id="r", uri="a.wav", labels=("dog",), duration_s=duration_s)
        for number in range(num_clips)
    )
    return Manifest(name="corpus", root="", clips=tuple(clips))


def _plan(
    manifest: Manifest, spec: FeatureSpec = SPEC, *, shard_bytes: int = 64 * MIB, clips_per_shard: int = 0
) -> list[ShardRequest]:
    return plan_shards(manifest, spec, shard_bytes=shard_bytes, clips_per_shard=clips_per_shard)


def test_a_row_has_the_bytes_of_its_shape_and_type() -> None:
    assert bytes_per_row(SPEC) == 64 * 108 * 2
    assert bytes_per_row(dataclasses.replace(SPEC, dtype="uint8")) == 64 * 108
    assert bytes_per_row(dataclasses.replace(SPEC, dtype="float32")) == 64 * 108 * 4


@pytest.mark.parametrize(("num_clips", "num_shards"), [(1, 1), (16, 1), (17, 2), (400, 25), (2_000, 125), (8_000, 250)])
def test_small_data_sets_are_cut_finely_enough_for_many_actors(num_clips: int, num_shards: int) -> None:
    assert len(_plan(_manifest(num_clips))) == num_shards


def test_large_shards_end_at_the_size_that_was_asked_for() -> None:
    sizes = [len(request.clips) for request in _plan(_manifest(1_000), shard_bytes=10 * bytes_per_row(SPEC))]
    assert sizes == [10] * 100
    long = _plan(_manifest(20, duration_s=60.0), EVERY_SECOND, shard_bytes=100 * bytes_per_row(EVERY_SECOND))
    assert {len(request.clips) for request in long} == {1}


def test_clips_per_shard_takes_the_place_of_the_rule() -> None:
    assert [len(request.clips) for request in _plan(_manifest(100), clips_per_shard=40)] == [40, 40, 20]


@given(num_clips=st.integers(1, 300), rows_per_shard=st.integers(1, 50), duration_s=st.floats(0.1, 40.0))
def test_every_clip_is_in_one_shard_in_order(num_clips: int, rows_per_shard: int, duration_s: float) -> None:
    manifest = _manifest(num_clips, duration_s=duration_s)
    plan = _plan(manifest, EVERY_SECOND, shard_bytes=rows_per_shard * bytes_per_row(EVERY_SECOND))
    assert tuple(clip for request in plan for clip in request.clips) == manifest.clips
    assert [request.index for request in plan] == list(range(len(plan)))
    for request in plan:
        num_rows = sum(estimated_rows(clip, EVERY_SECOND) for clip in request.clips)
        assert num_rows <= rows_per_shard or len(request.clips) == 1


@pytest.mark.parametrize(
    ("known", "num_rows"),
    [
        ({"duration_s": 10.0}, 10),
        ({"size_bytes": 441_000}, 10),
        ({"size_bytes": 441_000, "offset_s": 4.0}, 6),
        ({"size_bytes": 80_000, "uri": "a.ogg"}, 10),
        ({"size_bytes": 0}, 1),
        ({}, 60),
    ],
)
def test_rows_follow_from_the_duration_or_from_the_size_of_the_file(known: dict[str, object], num_rows: int) -> None:
    clip = dataclasses.replace(_manifest(1).clips[0], **known)  # type: ignore[arg-type]
    assert estimated_rows(clip, EVERY_SECOND) == num_rows
    three = dataclasses.replace(EVERY_SECOND, variants=("original", "gain(db=-6)", "noise(snr_db=15)"))
    assert estimated_rows(clip, three) == 3 * num_rows
    assert estimated_rows(clip, SPEC) == 1
