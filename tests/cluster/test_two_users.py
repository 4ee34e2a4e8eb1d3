"""Two users search at once on one cluster and in one prefix of a bucket, on the same features, while a third reads."""

import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import chaos, kill_sweep, sweep_consistency
from benchmarks.ray_nodes import RayNodes
from storage.feature_store import FeatureStore, complete_features
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

_USERS = {"one": "seed_epochs", "two": "adaptive"}  # what each of them asks for
_WAIT_S = 900.0

Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def alone(ray_nodes: RayNodes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tables]:
    """What each sweep gives when it has cluster and prefix to itself, by sweep id."""
    with chaos.recordings(None) as folder:
        chaos.upload(Path(folder), ray_nodes.store("invented"))
    found = {}
    for user, scheduler in _USERS.items():
        done = ray_nodes.submit(f"{user}-alone", _job(ray_nodes, scheduler, f"{user}-alone"))
        assert done.returncode == 0, done.stdout
        store = ray_nodes.store(f"{user}-alone")
        (sweep_id,) = ResultsTable(store).read("sweeps").column("sweep_id").to_pylist()
        found[sweep_id] = _tables(store, sweep_id)
    return found


def test_each_sweep_is_as_it_is_alone_and_whoever_reads_sees_whole_commits(
    ray_nodes: RayNodes, alone: dict[str, Tables]
) -> None:
    store = ray_nodes.store("shared")
    for user, scheduler in _USERS.items():
        taken = ray_nodes.submit(f"{user}-shared", _job(ray_nodes, scheduler, "shared"), wait=False)
        assert taken.returncode == 0, taken.stdout
    num_reads = num_with_both = 0
    before: dict[str, Tables] = {}
    for _ in _while_running(ray_nodes, [f"{user}-shared" for user in _USERS]):
        _check_features(store)
        now = {sweep_id: _tables(store, sweep_id) for sweep_id in alone}
        for sweep_id, tables in now.items():
            _check_read(tables, before.get(sweep_id, {}))
        before, num_reads = now, num_reads + 1
        num_with_both += all(0 < len(tables["epochs"]) < len(alone[one]["epochs"]) for one, tables in now.items())
    assert num_reads > 10
    assert num_with_both > 3  # both were at work at the same time
    assert {user: ray_nodes.job_status(f"{user}-shared") for user in _USERS} == dict.fromkeys(_USERS, "SUCCEEDED")
    for sweep_id, tables in alone.items():
        assert kill_sweep.differences(_tables(store, sweep_id), tables) == []


def _job(ray_nodes: RayNodes, scheduler: str, prefix: str) -> list[str]:
    words = ["python", "jobs/sweep.py", *kill_sweep.settings(scheduler, 1), "pipeline.num_actors=1"]
    return [*words, f"data.root={ray_nodes.uri('invented')}", f"storage.uri={ray_nodes.uri(prefix)}"]


def _tables(store: ObjectStore, sweep_id: str) -> Tables:
    """What is begun by a suggestion is read before the suggestions: they were there before it."""
    results = ResultsTable(store)
    found = {}
    for name, key in reversed(sweep_consistency.KEYS.items()):
        rows = results.read(name, sweep_id=sweep_id).to_pandas()
        found[name] = rows.sort_values(list(key), ignore_index=True)
    assert [*found][-1] == "suggestions"
    return found


def _check_read(tables: Tables, before: Tables) -> None:
    suggested = set(tables["suggestions"]["trial_id"])
    for name, rows in tables.items():
        key = list(sweep_consistency.KEYS[name])
        assert not rows.duplicated(key).any(), f"{name}: a row twice"
        assert set(rows.get("trial_id", [])) <= suggested, f"{name}: of trials that nobody suggested"
        if name in before:  # what was there stays as it was
            still = rows.merge(before[name][key], on=key)[before[name].columns]
            pd.testing.assert_frame_equal(still.sort_values(key, ignore_index=True), before[name], check_dtype=False)


def _check_features(store: ObjectStore) -> None:
    """They are whole, or nobody is told that they are there."""
    for dataset, fingerprint in complete_features(store):
        features = FeatureStore(store, dataset=dataset, fingerprint=fingerprint)
        marker = features.marker()
        assert marker is not None
        assert features.read(columns=["clip_id"]).num_rows == marker["num_clips"]


def _while_running(ray_nodes: RayNodes, jobs: list[str]) -> Iterator[None]:
    deadline = time.monotonic() + _WAIT_S
    while {ray_nodes.job_status(job) for job in jobs} & {"PENDING", "RUNNING"}:
        assert time.monotonic() < deadline
        yield
        time.sleep(0.5)
