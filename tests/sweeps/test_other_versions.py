"""A worker that comes when the job has begun, and has other packages than the driver, ends the job instead of trials.

The driver has packages here that are newer than its workers'.
"""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import experiment_toys
import pytest
import ray
from sweep_toys import SWEEP_ROW, make_data, make_plan

from cluster.session import cluster_resources
from cluster.versions import Versions, VersionsDiffer, installed
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from sweeps import run_sweep
from sweeps.measuring import measure
from sweeps.spots import find_spot
from sweeps.trial_actor import TrialContext

pytestmark = pytest.mark.usefixtures("ray_local")

_TOLD = (
    rf"nodes of the cluster have other versions than the driver: [\d.]+ has torch {installed()['torch']} \(here 99.1\)"
)


@pytest.fixture(autouse=True)
def _newer_driver() -> Iterator[None]:
    with mock.patch("cluster.versions.installed", return_value={**installed(), "torch": "99.1"}):
        yield


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path))


def _trained_or_failed(store: ObjectStore) -> int:
    return sum(ResultsTable(store).read(name).num_rows for name in ("epochs", "trials", "failures"))


@pytest.mark.parametrize("scheduler", ["seed_epochs", "adaptive"])
def test_a_sweep_ends_and_no_trial_has_failed(store: ObjectStore, scheduler: str) -> None:
    plan = make_plan(scheduler=scheduler)
    with pytest.raises(VersionsDiffer, match=_TOLD):
        run_sweep(plan, make_data(), store, sweep_row=SWEEP_ROW)
    assert _trained_or_failed(store) == 0


def test_an_experiment_ends_and_no_fold_has_failed(store: ObjectStore) -> None:
    with pytest.raises(VersionsDiffer, match=_TOLD):
        experiment_toys.run(experiment_toys.make_plan(seeds=(1,), epochs=1), store)
    assert _trained_or_failed(store) == 0


def test_nothing_is_measured(store: ObjectStore) -> None:
    context = TrialContext(sweep_id="toy", store=store, data=make_data(), versions=Versions.here())
    spot = find_spot(cluster_resources().nodes, device="cpu", cpus_per_trial="auto", max_concurrent_trials=0)
    assert spot is not None
    with pytest.raises(VersionsDiffer, match=_TOLD):
        measure(make_plan().trial_config("cnn", {}), ray.put(context), spot)
