"""A shard worker behind a process boundary: whatever a decoder does, only its own clip is lost."""

import dataclasses
import functools
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from decoder_toys import obedient_decode, obedient_read

from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip
from pipelines.shards.isolated_worker import IsolatedWorker
from pipelines.shards.request import ShardRequest, shard_of
from pipelines.shards.worker import ShardWorker
from storage.feature_store import FeatureStore
from storage.object_store import open_store

SPEC = FeatureSpec(window_s=0.5)

Compute = Callable[..., dict[str, Any]]


@pytest.fixture
def features(tmp_path: Path) -> FeatureStore:
    return FeatureStore(open_store(str(tmp_path / "store")), dataset="corpus", fingerprint=SPEC.fingerprint)


@pytest.fixture
def worker(features: FeatureStore) -> Iterator[IsolatedWorker]:
    make_worker = functools.partial(ShardWorker, SPEC, features, backend="cpu", decode=obedient_decode)
    worker = IsolatedWorker(pickle.dumps(make_worker), clip_time_limit_s=3.0)
    yield worker
    worker.close()


def test_healthy_clips_give_the_bytes_that_a_worker_in_this_process_writes(
    worker: IsolatedWorker, features: FeatureStore, tmp_path: Path
) -> None:
    request = _request(tmp_path, {})
    assert _counted(worker.outcome(request.to_json())) == _counts(request, num_quarantined=0)
    here = FeatureStore(open_store(str(tmp_path / "here")), dataset="corpus", fingerprint=SPEC.fingerprint)
    ShardWorker(SPEC, here, backend="cpu").compute(request)
    assert _objects(features) == _objects(here)


@pytest.mark.parametrize(
    ("order", "reason", "detail"),
    [
        ("signal SIGSEGV", "decoder_crashed", "the decoder's process was killed by SIGSEGV"),
        ("signal SIGABRT", "decoder_crashed", "the decoder's process was killed by SIGABRT"),
        ("exit 0", "decoder_crashed", "the decoder's process exited with code 0"),
        ("exit 3", "decoder_crashed", "the decoder's process exited with code 3"),
        ("hang", "timed_out", "not decoded within pipeline.clip_time_limit_s = 3 s"),
        ("raise by zero", "internal_error", "ZeroDivisionError: by zero"),
    ],
)
def test_a_decoder_that_fails_badly_loses_only_its_own_clip(
    worker: IsolatedWorker, features: FeatureStore, tmp_path: Path, order: str, reason: str, detail: str
) -> None:
    request = _request(tmp_path, {"b": order})
    outcome = worker.outcome(request.to_json())
    assert _counted(outcome) == _counts(request, num_quarantined=1)
    features.commit([shard_of(outcome)], spec={}, versions={})
    (row,) = features.quarantine().to_pylist()
    assert (row["clip_id"], row["reason"], row["detail"]) == ("b", reason, detail)
    assert features.read(columns=["clip_id"]).column("clip_id").to_pylist() == ["a", "c"]


def test_so_it_is_where_clips_are_collected_for_a_device(features: FeatureStore, tmp_path: Path) -> None:
    request = _request(tmp_path, {"b": "signal SIGSEGV"})
    # Importing torch may take longer than a clip is given; it comes before the first clip.
    make_worker = functools.partial(ShardWorker, SPEC, features, backend="torch", as_decoded=True, read=obedient_read)
    worker = IsolatedWorker(pickle.dumps(make_worker), clip_time_limit_s=3.0)
    outcome = worker.outcome(request.to_json())
    assert _counted(outcome) == _counts(request, num_quarantined=1)
    worker.close()
    features.commit([shard_of(outcome)], spec={}, versions={})
    assert features.quarantine()["clip_id"].to_pylist() == ["b"]
    assert features.quarantine()["reason"].to_pylist() == ["decoder_crashed"]
    assert features.read(columns=["clip_id"]).column("clip_id").to_pylist() == ["a", "c"]


@pytest.mark.slow
def test_several_bad_clips_in_one_shard_are_all_told(
    worker: IsolatedWorker, features: FeatureStore, tmp_path: Path
) -> None:
    request = _request(tmp_path, {"a": "signal SIGSEGV", "b": "hang", "c": "exit 9"})
    assert _counted(worker.outcome(request.to_json())) == _counts(request, num_quarantined=3)


def test_a_crash_that_does_not_come_again_costs_the_clip_nothing(
    worker: IsolatedWorker, features: FeatureStore, tmp_path: Path
) -> None:
    request = _request(tmp_path, {"b": f"once {tmp_path / 'done'}"})
    outcome = worker.outcome(request.to_json())
    assert outcome["num_quarantined"] == 1
    features.commit([shard_of(outcome)], spec={}, versions={})
    assert features.quarantine().column("reason").to_pylist() == ["not_audio"]  # the toy's own word, not a crash


def test_a_clip_that_is_killed_from_outside_is_never_blamed(
    worker: IsolatedWorker, features: FeatureStore, tmp_path: Path
) -> None:
    outcome = worker.outcome(_request(tmp_path, {"b": "signal SIGKILL"}).to_json())
    assert "died 5 times, last at clip 'b'" in outcome["storage_error"]
    assert "killed by SIGKILL" in outcome["storage_error"]
    assert _objects(features) == {}


def test_a_worker_serves_on_after_a_crash(worker: IsolatedWorker, tmp_path: Path) -> None:
    worker.outcome(_request(tmp_path, {"a": "signal SIGSEGV"}).to_json())
    healthy = dataclasses.replace(_request(tmp_path / "more", {}), clips_hash="1" * 12)
    assert _counted(worker.outcome(healthy.to_json())) == _counts(healthy, num_quarantined=0)


def test_the_child_dies_when_its_parent_is_killed(tmp_path: Path) -> None:
    request = _request(tmp_path, {"b": "hang"})
    code = (
        "import functools, pickle, sys\n"
        "from decoder_toys import obedient_decode\n"
        "from pipelines.feature_spec import FeatureSpec\n"
        "from pipelines.shards.isolated_worker import IsolatedWorker\n"
        "from pipelines.shards.worker import ShardWorker\n"
        "from storage.feature_store import FeatureStore\n"
        "from storage.object_store import open_store\n"
        "features = FeatureStore(open_store(sys.argv[1]), dataset='corpus', fingerprint='f')\n"
        "make = functools.partial(ShardWorker, FeatureSpec(), features, backend='cpu', decode=obedient_decode)\n"
        "worker = IsolatedWorker(pickle.dumps(make), clip_time_limit_s=600)\n"
        "worker.outcome(sys.argv[2])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "s"), request.to_json()], env=environment)
    try:
        child = _wait_for(lambda: _children(parent.pid))[0]
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    _wait_for(lambda: not Path(f"/proc/{child}").exists() or _is_zombie(child))


def _request(folder: Path, orders: dict[str, str]) -> ShardRequest:
    """Three clips, a, b and c: noise, or what `orders` says for them."""
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate("abc"):
        if name in orders:
            (folder / f"{name}.wav").write_text(f"do: {orders[name]}")
        else:
            soundfile.write(folder / f"{name}.wav", np.random.default_rng(seed).uniform(-0.5, 0.5, 11_025), 22_050)
    clips = tuple(Clip(clip_id=name, recording_id=name, uri=f"{name}.wav", labels=("noise",)) for name in "abc")
    return ShardRequest(index=0, clips_hash="0" * 12, root=str(folder), endpoint_url=None, clips=clips)


def _counts(request: ShardRequest, *, num_quarantined: int) -> dict[str, Any]:
    return {
        "index": 0,
        "clips_hash": request.clips_hash,
        "num_clips": 3,
        "num_rows": 3 - num_quarantined,
        "num_quarantined": num_quarantined,
        "num_variants_quarantined": 0,
    }


def _counted(outcome: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outcome.items() if name != "reasons_hash"}


def _objects(features: FeatureStore) -> dict[str, bytes]:
    return {info.key: features.store.get(info.key) for info in features.store.list(features.prefix)}


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("waited a minute in vain")
