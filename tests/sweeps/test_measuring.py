"""Trials are measured in processes of their own, share a node's features, and get what was measured of Ray."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import ray
import torch
from sweep_toys import SWEEP_ROW, make_data, make_plan

from cluster.session import NodeResources, cluster_resources
from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import run_sweep
from sweeps.measuring import CannotMeasure, MemoryEnded, doublings, measure, paces_on_a_gpu, paces_on_cpus
from sweeps.placement import Measurement, gpu_share
from sweeps.shares import find_shares
from sweeps.spots import Spot, find_spot
from sweeps.trial_actor import TrialContext
from training import TrialConfig, TrialData
from training.data import PartData
from training.inputs import device_data

_MB = 2**20


@pytest.mark.parametrize(("most", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_numbers_at_once_are_doubled_up_to_the_most(most: int, expected: list[int]) -> None:
    assert doublings(most) == expected


class Toys:
    """Trials without a process: `paces` is how fast one of so many is; so many have room."""

    def __init__(self, paces: dict[int, float], *, room: int = 99) -> None:
        self._paces, self._room, self.size = paces, room, 0
        self.threads: list[int | None] = []

    def grow(self, *, to: int) -> tuple[int, int]:
        self.size = min(to, self._room)
        if to > self._room:
            raise MemoryEnded("no room")
        return 1, 1

    def steps_per_second(self, at_once: int, *, num_threads: int | None) -> float:
        assert at_once <= self.size
        self.threads.append(num_threads)
        return at_once * self._paces[at_once]


class TestPaces:
    ON_GPU = Spot(node=NodeResources(num_cpus=8, num_gpus=2), device="cuda", most_at_once=16)
    ON_CPUS = Spot(node=NodeResources(num_cpus=4, num_gpus=0), device="cpu", most_at_once=4)

    def test_more_and_more_share_a_gpu_until_all_of_them_are_no_faster(self) -> None:
        paces = paces_on_a_gpu(Toys({1: 10.0, 2: 9.0, 4: 4.6, 8: 99.0}), 16, self.ON_GPU)
        assert [(pace.at_once, pace.steps_per_second, pace.cpus_each) for pace in paces] == [
            (1, 10.0, 4.0),
            (2, 18.0, 2.0),
            (4, 18.4, 1.0),
        ]

    def test_or_until_memory_ends(self) -> None:
        paces = paces_on_a_gpu(Toys(dict.fromkeys((1, 2, 3, 4), 10.0), room=3), 16, self.ON_GPU)
        assert [pace.at_once for pace in paces] == [1, 2]
        with pytest.raises(MemoryEnded):
            paces_on_a_gpu(Toys({}, room=0), 16, self.ON_GPU)

    def test_the_cpus_of_a_node_are_dealt_to_as_many_trials_as_they_make(self) -> None:
        toys = Toys(dict.fromkeys((1, 2, 4), 10.0))
        paces = paces_on_cpus(toys, 4, self.ON_CPUS)
        assert [(pace.cpus_each, pace.at_once) for pace in paces] == [(1.0, 4), (2.0, 2), (4.0, 1)]
        assert toys.threads == [1, 2, 4]

    def test_or_to_as_many_as_have_room(self) -> None:
        paces = paces_on_cpus(Toys(dict.fromkeys((1, 2, 3), 10.0), room=3), 4, self.ON_CPUS)
        assert [(pace.cpus_each, pace.at_once) for pace in paces] == [(1.0, 3), (2.0, 2), (4.0, 1)]


def spot_for(device: Literal["cpu", "cuda"]) -> Spot:
    spot = find_spot(cluster_resources().nodes, device=device, cpus_per_trial="auto", max_concurrent_trials=0)
    assert spot is not None
    return spot


def context_of(data: TrialData, folder: Path) -> ray.ObjectRef:
    return ray.put(TrialContext(sweep_id="toy", store=LocalObjectStore(folder), data=data))


@pytest.mark.usefixtures("ray_local")
class TestOnARay:
    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sweeps.measuring._STEP_FOR_S", 0.2)

    @pytest.mark.slow
    def test_a_configuration_that_cannot_be_trained_cannot_be_measured_and_leaves_the_node_free(
        self, tmp_path: Path
    ) -> None:
        config = make_plan(trial={"model.width": "wide"}).trial_config("cnn", {})
        with pytest.raises(CannotMeasure, match="width"):
            measure(config, context_of(make_data(), tmp_path), spot_for("cpu"))

        @ray.remote(num_cpus=2)
        def with_all_cpus() -> int:
            return 1

        assert ray.get(with_all_cpus.remote(), timeout=60) == 1

    @pytest.mark.slow
    def test_a_sweep_measures_once_and_trains_what_runs_out_of_memory_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pids = tmp_path / "pids"
        pids.mkdir()

        class Full(LocalObjectStore):  # local to this function, so that it travels to workers as it is
            def put_if_absent(self, key: str, data: bytes) -> bool:
                if "results/epochs/" in key:
                    (pids / str(os.getpid())).touch()
                    if self._reserved() < 2**30:
                        raise torch.OutOfMemoryError("CUDA out of memory")
                return super().put_if_absent(key, data)

            def _reserved(self) -> float:
                group = ray.util.get_current_placement_group()
                assert group is not None
                return float(group.bundle_specs[0]["memory"])

        store, said = Full(tmp_path / "store"), list[str]()
        plan = make_plan(
            num_trials=1, seeds=(1,), epochs=1, cpus_per_trial="auto", max_failures=0, max_concurrent_trials=0
        )
        outcome = run_sweep(plan, make_data(), store, sweep_row=SWEEP_ROW, say=said.append)

        def table(name: str) -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = ResultsTable(store).read(name, sweep_id=plan.sweep_id).to_pylist()
            return rows

        assert (outcome.num_trials_run, outcome.num_failed, outcome.num_given_up) == (1, 0, 0)
        assert [row["state"] for row in table("trials")] == ["finished"]
        assert [row["reason"] for row in table("failures")] == ["out_of_memory"]
        assert len(table("epochs")) == 1
        assert len(list(pids.iterdir())) == 2  # a fresh process each time
        (measured,) = table("measurements")
        assert (measured["cpus_each"], measured["at_once"]) == ([1.0, 2.0], [2, 1])
        assert min(measured["steps_per_second"]) > 0
        assert 20 * _MB < measured["peak_bytes"] < 800 * _MB
        said = [line for line in said if "CPU a trial" in line]
        assert len(said) == 1
        assert said[0].startswith("cnn: ")

        def measure_again(*_: Any, **__: Any) -> Measurement:
            raise AssertionError("it was measured before")

        monkeypatch.setattr("sweeps.shares.measure", measure_again)
        shares = find_shares(plan, ray.put(None), ResultsTable(store), say=said.append)
        assert said == [said[0]] * 2
        assert shares.beside_others["cnn"].num_cpus in (1.0, 2.0)
        assert 0 < shares.beside_others["cnn"].memory_bytes < 2**30

    def test_the_features_of_a_sweep_are_in_memory_once_however_many_trials_read_them(self, tmp_path: Path) -> None:
        def own_bytes() -> int:
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))

        @ray.remote(num_cpus=1)
        def look(context: list[ray.ObjectRef], config: TrialConfig) -> tuple[bool, int, int]:
            before = own_bytes()
            array = ray.get(context[0]).data.parts["train"].log_mel
            train = device_data(ray.get(context[0]).data, config, torch.device("cpu")).parts["train"].log_mel
            total = sum(int(rows.sum(dtype=torch.float64)) for rows in train.split(64))
            is_shared = train.data_ptr() == array.__array_interface__["data"][0] and not array.flags.writeable
            return is_shared, own_bytes() - before, total

        context = context_of(large_data(128 * _MB), tmp_path)
        config = make_plan().trial_config("cnn", {})
        seen = ray.get([look.remote([context], config) for _ in range(2)])
        for is_shared, grown, sum_of_features in seen:
            assert is_shared
            assert grown < 64 * _MB  # what is imported meanwhile
            assert sum_of_features == 64 * _MB


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.usefixtures("ray_local")
class TestOnAGPU:
    def test_trials_share_a_gpu_as_measured_and_leave_it_free(self, tmp_path: Path) -> None:
        plan = replace(make_plan(gpus_per_trial="auto", cpus_per_trial="auto"), device="cuda")
        config = plan.trial_config("cnn", {})
        measured = measure(config, context_of(make_data(), tmp_path), spot_for("cuda"))
        assert [pace.at_once for pace in measured.paces][:2] == [1, 2]
        assert 50 * _MB < measured.peak_bytes < measured.total_bytes
        share = gpu_share(measured, num_cpus="auto")
        assert measured.peak_bytes <= share.num_gpus * measured.total_bytes

        @ray.remote(num_gpus=1, num_cpus=0)
        def free_share() -> float:
            free, total = torch.cuda.mem_get_info()
            return free / total

        assert ray.get(free_share.remote(), timeout=60) > 0.5


def large_data(size_bytes: int) -> TrialData:
    """float16 ones in the train part; the other parts have a row each."""

    def part(num_rows: int) -> PartData:
        clip_ids = tuple(f"clip{row:05d}" for row in range(num_rows))
        return PartData(
            log_mel=np.ones((num_rows, 64, 128), np.float16),
            has_label=np.ones((num_rows, 1), np.bool_),
            first_label=np.zeros(num_rows, np.int64),
            clip_ids=clip_ids,
            groups=clip_ids,
        )

    parts = {"train": part(size_bytes // (2 * 64 * 128)), "validation": part(1), "test": part(1)}
    return TrialData(labels=("alarm",), mean_db=0.0, deviation_db=1.0, parts=parts)  # type: ignore[arg-type]
