"""What every trial of a sweep reserves: the settings' numbers, or what was measured, once, of each architecture."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from sweep_toys import make_plan

from cluster.session import ClusterResources, NodeResources
from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan
from sweeps import shares as shares_module
from sweeps.measurements import Measurements
from sweeps.measuring import CannotMeasure
from sweeps.placement import Measurement, Pace, Share
from sweeps.shares import Shares, find_shares
from sweeps.spots import Spot
from training import TrialConfig

_GB = 10**9


@pytest.fixture(autouse=True)
def _cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes with 8 CPUs and a GPU each."""
    node = NodeResources(num_cpus=8, num_gpus=1, memory_bytes=32 * _GB)
    cluster = ClusterResources(num_cpus=16, num_gpus=2, num_nodes=2, num_cpus_beside_gpus=16, nodes=(node, node))
    for module in ("sweeps.resources", "sweeps.shares"):
        monkeypatch.setattr(f"{module}.cluster_resources", lambda: cluster)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[TrialConfig]:
    """What was measured, of toys: a ResNet takes half a GPU's memory, all others little of it."""
    found: list[TrialConfig] = []

    def measure(config: TrialConfig, context: Any, spot: Spot) -> Measurement:
        found.append(config)
        on_gpu = {1: (8.0, 100.0), 2: (4.0, 180.0), 4: (2.0, 300.0)}
        on_cpus = {8: (1.0, 200.0), 4: (2.0, 300.0), 1: (8.0, 100.0)}
        return Measurement(
            architecture=config.architecture,
            configuration_id=config.trial_id,
            device=spot.device,
            hardware=spot.in_words,
            total_bytes=24 * _GB,
            peak_bytes=10 * _GB if config.architecture == "resnet50" else _GB,
            paces=tuple(
                Pace(cpus_each=cpus, at_once=at_once, steps_per_second=pace)
                for at_once, (cpus, pace) in (on_gpu if spot.device == "cuda" else on_cpus).items()
            ),
        )

    monkeypatch.setattr("sweeps.shares.measure", measure)
    return found


def plan_of(device: Literal["cpu", "cuda"], **settings: Any) -> SweepPlan:
    values = {"trial": {}, "architectures": ("cnn", "resnet50"), "max_concurrent_trials": 0, **settings}
    return replace(make_plan(**values), device=device)


def shares_of(plan: SweepPlan, folder: Path, said: list[str] | None = None) -> Shares:
    lines = [] if said is None else said
    return find_shares(plan, None, ResultsTable(LocalObjectStore(folder)), say=lines.append)  # type: ignore[arg-type]


def test_numbers_are_taken_as_they_are_and_nothing_is_measured(measured: list[TrialConfig], tmp_path: Path) -> None:
    shares = shares_of(plan_of("cuda", gpus_per_trial=0.25, cpus_per_trial=2.0), tmp_path)
    assert shares.beside_others["cnn"] == shares.beside_others["resnet50"] == Share(num_cpus=2.0, num_gpus=0.25)
    assert shares.alone["cnn"] == Share(num_cpus=2.0, num_gpus=1.0)
    assert measured == []
    assert shares_of(plan_of("cpu"), tmp_path).beside_others["cnn"] == Share(num_cpus=1.0, num_gpus=0.0)


def test_each_architecture_gets_its_share_of_a_gpu_by_its_largest_configuration(
    measured: list[TrialConfig], tmp_path: Path
) -> None:
    said: list[str] = []
    shares = shares_of(plan_of("cuda", gpus_per_trial="auto"), tmp_path, said)
    assert {name: share.num_gpus for name, share in shares.beside_others.items()} == {"cnn": 0.25, "resnet50": 0.5}
    assert {config.architecture: config.batch_size for config in measured} == {"cnn": 32, "resnet50": 32}
    assert said == [
        "cnn: 0.25 GPU a trial (1.0 GB of 24.0, 3.0 times the steps of one)",
        "resnet50: 0.5 GPU a trial (10.0 GB of 24.0, 1.8 times the steps of one)",
    ]


def test_cpus_are_shared_by_a_measurement_with_memory_and_as_many_threads(
    measured: list[TrialConfig], tmp_path: Path
) -> None:
    shares = shares_of(plan_of("cpu", cpus_per_trial="auto"), tmp_path)
    share = shares.beside_others["cnn"]
    assert (share.num_cpus, share.num_gpus) == (2.0, 0.0)
    assert _GB < share.memory_bytes < 2 * _GB
    assert shares.alone["cnn"] == replace(share, memory_bytes=32 * _GB)
    config = {"configuration": {"architecture": "cnn"}, "number": 0, "alone": False}
    assert shares.num_threads(config) == 2
    assert shares_of(plan_of("cpu", cpus_per_trial=2.0), tmp_path).num_threads(config) is None


def test_a_resumed_sweep_does_not_measure_again(measured: list[TrialConfig], tmp_path: Path) -> None:
    plan = plan_of("cuda", gpus_per_trial="auto")
    first, again = list[str](), list[str]()
    shares = shares_of(plan, tmp_path, first)
    assert shares_of(plan, tmp_path, again) == shares
    assert (again, len(measured)) == (first, 2)


def test_what_cannot_be_measured_gets_a_whole_gpu_and_is_measured_the_next_time(
    measured: list[TrialConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, said = plan_of("cuda", gpus_per_trial="auto", architectures=("cnn",)), list[str]()

    def busy(*_: Any) -> Measurement:
        raise CannotMeasure("no node with 8 CPUs, 1 GPU was free for 60 s")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("sweeps.shares.measure", busy)
        assert shares_of(plan, tmp_path, said).beside_others["cnn"] == Share(num_cpus=1.0, num_gpus=1.0)
    assert said == ["cnn: 1 GPU a trial, as it could not be measured: no node with 8 CPUs, 1 GPU was free for 60 s"]
    assert shares_of(plan, tmp_path).beside_others["cnn"].num_gpus == 0.25


def test_cpus_beside_a_known_share_of_a_gpu_are_no_more_than_there_are(tmp_path: Path) -> None:
    for share, expected in ((1.0, 1.0), (0.0625, 0.5)):
        shares = shares_of(plan_of("cuda", gpus_per_trial=share, cpus_per_trial="auto"), tmp_path)
        assert shares.beside_others["cnn"] == Share(num_cpus=expected, num_gpus=share)


def test_of_two_processes_that_measure_at_once_both_take_what_was_recorded_first(
    measured: list[TrialConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of("cuda", gpus_per_trial="auto", architectures=("cnn",))
    toy = shares_module.measure

    def measure(config: TrialConfig, context: Any, spot: Spot) -> Measurement:
        """While this one measures, the other one, which had less room, records."""
        ours = toy(config, context, spot)
        theirs = replace(ours, peak_bytes=10 * _GB)
        recorded = Measurements(ResultsTable(LocalObjectStore(tmp_path)), plan.sweep_id)
        recorded.record(theirs, Share(num_cpus=1.0, num_gpus=0.5))
        return ours

    monkeypatch.setattr(shares_module, "measure", measure)
    assert shares_of(plan, tmp_path).beside_others["cnn"].num_gpus == 0.5
    assert len(measured) == 1
