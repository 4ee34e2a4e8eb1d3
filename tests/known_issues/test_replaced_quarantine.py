"""A second writer of a shard, who lost a clip to a limit, replaced the quarantine of the part that was stored."""

from collections.abc import Callable

import numpy as np
import pytest
from feature_toys import RecordingStore, make_quarantine, make_rows

from storage.feature_store import FeatureStore, Shard
from storage.object_store import ObjectStore

_ROWS = make_rows(np.zeros((3, 2, 3), dtype=np.float16))  # of c00000, c00001 and c00002


class _Killed(Exception):
    pass


class _BeforeTheirPart(RecordingStore):
    """Calls a function when a part is about to be stored, after its quarantine."""

    def __init__(self, inner: ObjectStore, call: Callable[[], object]) -> None:
        super().__init__(inner)
        self._call = call

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self._call()
        return super().put_if_absent(key, data)


def _features(store: ObjectStore) -> FeatureStore:
    return FeatureStore(store, dataset="toy-0", fingerprint="f00d")


def _winner(store: ObjectStore) -> Shard:
    """Three clips with rows; `bad` has none."""
    shard = Shard(index=0, clips_hash="aa", num_clips=4, num_rows=3, num_quarantined=1)
    return _features(store).write_shard(shard, _ROWS, make_quarantine("bad"))


def _loser(store: ObjectStore) -> Shard:
    """As the winner, but c00002 took too long."""
    shard = Shard(index=0, clips_hash="aa", num_clips=4, num_rows=2, num_quarantined=2)
    reasons = make_quarantine("bad", "c00002", reason="timed_out")
    return _features(store).write_shard(shard, _ROWS.slice(0, 2), reasons)


def _killed_loser(store: ObjectStore) -> None:
    def die() -> None:
        raise _Killed

    with pytest.raises(_Killed):
        _loser(_BeforeTheirPart(store, die))


def _write_before(store: ObjectStore) -> Shard:
    """The loser stores its quarantine between the winner's quarantine and the winner's part."""
    shard = _winner(_BeforeTheirPart(store, lambda: _killed_loser(store)))
    assert _loser(store) == shard  # taken up again, it finds the part taken
    return shard


def _write_after(store: ObjectStore) -> Shard:
    """The loser stores its quarantine after the winner's part."""
    shard = _winner(store)
    assert _loser(store) == shard
    return shard


def test_a_quarantine_whose_writer_was_killed_before_its_part_is_nobodys(store: ObjectStore) -> None:
    features = _features(store)
    _killed_loser(store)
    assert features.find_shard(0, "aa") is None
    assert features.reasons_so_far().num_rows == 0


@pytest.mark.parametrize("write", [_write_before, _write_after])
def test_a_part_keeps_its_own_quarantine_whoever_else_writes_one(
    store: ObjectStore, write: Callable[[ObjectStore], Shard]
) -> None:
    features = _features(store)
    shard = write(store)
    assert features.find_shard(0, "aa") == shard
    assert features.read_back(shard).quarantined == {("bad", "original")}
    assert features.reasons_so_far().equals(make_quarantine("bad"))
    features.commit([shard], spec={}, versions={})
    assert features.load().clip_ids == ("c00000", "c00001", "c00002")
    assert features.quarantine().equals(make_quarantine("bad"))


def test_a_late_writer_changes_nothing_that_is_committed(store: ObjectStore) -> None:
    features = _features(store)
    features.commit([_winner(store)], spec={}, versions={})
    before = features.quarantine_hash()
    _loser(store)
    assert features.quarantine_hash() == before


def test_a_clip_that_only_a_loser_has_lost_is_not_tried_again(store: ObjectStore) -> None:
    features = _features(store)
    features.commit([_write_after(store)], spec={}, versions={})
    assert features.forget(["timed_out"]) == 0
    assert features.marker() is not None


def test_the_reasons_of_a_loser_are_not_told_where_the_stored_part_has_none(store: ObjectStore) -> None:
    features = _features(store)
    whole = Shard(index=0, clips_hash="aa", num_clips=4, num_rows=3, num_quarantined=0)
    features.write_shard(whole, _ROWS, make_quarantine())
    _loser(store)
    assert features.reasons_so_far().num_rows == 0
    assert features.forget(["timed_out"]) == 0
    assert features.finished_shards() == {(0, "aa")}
