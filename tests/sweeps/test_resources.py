"""What a trial may ask for: what some single node of the cluster has, CPUs and GPUs together."""

from typing import Any

import pytest

from cluster.session import ClusterResources, NodeResources, cluster_resources
from storage.errors import InvalidInput
from sweeps import ExperimentSettings, SweepSettings
from sweeps.resources import choose_device, trial_resources


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 cores without a GPU, and 4 cores with one."""
    nodes = NodeResources(num_cpus=16, num_gpus=0), NodeResources(num_cpus=4, num_gpus=1)
    cluster = ClusterResources(num_cpus=20, num_gpus=1, num_nodes=2, num_cpus_beside_gpus=4, nodes=nodes)
    monkeypatch.setattr("sweeps.resources.cluster_resources", lambda: cluster)


@pytest.mark.usefixtures("two_nodes")
class TestTwoNodes:
    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({"cpus_per_trial": 20.0}, r"train\.cpus_per_trial: got 20\.0; allowed: at most 16, .* a single node"),
            ({"gpus_per_trial": 2.0}, r"train\.gpus_per_trial: got 2\.0; allowed: at most 1, .* a single node"),
            (
                {"cpus_per_trial": 8.0, "gpus_per_trial": 1.0},
                r"train\.cpus_per_trial: got '8, beside 1 GPUs'; .*16 CPUs and 0 GPUs, or 4 CPUs and 1 GPUs",
            ),
        ],
    )
    def test_what_no_single_node_has_is_refused(self, asked: dict[str, Any], told: str) -> None:
        device = "cuda" if "gpus_per_trial" in asked else "cpu"
        with pytest.raises(InvalidInput, match=told):
            trial_resources(ExperimentSettings(**asked), device=device, section="train")

    @pytest.mark.parametrize(
        ("asked", "device", "given"),
        [
            ({"cpus_per_trial": 16.0}, "cpu", (16.0, 0.0)),
            ({"cpus_per_trial": 4.0}, "cuda", (4.0, 1.0)),
            ({"cpus_per_trial": 4.0, "gpus_per_trial": 0.25}, "cuda", (4.0, 0.25)),
        ],
    )
    def test_what_one_node_has_is_given(self, asked: dict[str, Any], device: str, given: tuple[float, float]) -> None:
        assert trial_resources(ExperimentSettings(**asked), device=device, section="train") == given

    def test_what_is_left_to_a_measurement_is_a_cpu_and_a_whole_gpu_without_one(self) -> None:
        needs = SweepSettings(cpus_per_trial="auto", gpus_per_trial="auto")
        assert choose_device(needs) == "cuda"
        assert trial_resources(needs, device="cuda", section="sweep") == (1.0, 1.0)
        assert trial_resources(needs, device="cpu", section="sweep") == (1.0, 0.0)


def test_where_workers_come_and_go_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    head = NodeResources(num_cpus=0, num_gpus=0)
    cluster = ClusterResources(num_cpus=0, num_gpus=0, num_nodes=1, num_cpus_beside_gpus=0, nodes=(head,))
    monkeypatch.setattr("sweeps.resources.cluster_resources", lambda: cluster)
    asked = ExperimentSettings(cpus_per_trial=8.0, gpus_per_trial=1.0)
    assert choose_device(asked) == "cuda"
    assert trial_resources(asked, device="cuda", section="train") == (8.0, 1.0)


@pytest.mark.usefixtures("ray_local")
def test_a_session_tells_what_its_nodes_have() -> None:
    (node,) = cluster_resources().nodes
    assert (node.num_cpus, node.num_gpus, node.in_words) == (2, 0, "2 CPUs")
    assert node.memory_bytes > 0


def test_a_node_tells_its_gpus_by_name() -> None:
    assert NodeResources(num_cpus=16, num_gpus=1, accelerators=("H200",)).in_words == "16 CPUs, 1 GPU H200"
