"""When a job waits for a node and when it does not; tests/cluster/test_nodes.py has a head without workers."""

import logging

import pytest
import ray

from cluster.session import ClusterResources, NodeResources
from cluster.waiting import wait_for_node

_HEAD = NodeResources(num_cpus=0, num_gpus=0)


def _cluster(monkeypatch: pytest.MonkeyPatch, *nodes: NodeResources) -> None:
    found = ClusterResources(num_cpus=0, num_gpus=0, num_nodes=len(nodes), num_cpus_beside_gpus=0, nodes=nodes)
    monkeypatch.setattr("cluster.waiting.cluster_resources", lambda: found)


@pytest.mark.parametrize(
    ("nodes", "needed"),
    [
        ((_HEAD, NodeResources(num_cpus=2, num_gpus=1)), {"num_cpus": 2.0, "num_gpus": 1.0}),
        ((NodeResources(num_cpus=2, num_gpus=0),), {"num_cpus": 64.0}),  # refused elsewhere; nothing will come
    ],
    ids=["there", "not to be expected"],
)
def test_nothing_is_asked_of_ray(
    nodes: tuple[NodeResources, ...], needed: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    _cluster(monkeypatch, *nodes)
    monkeypatch.setattr(ray, "remote", lambda **_: pytest.fail("a task was made"))
    wait_for_node(**needed)


@pytest.mark.usefixtures("ray_local")
def test_a_head_without_workers_is_waited_for_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _cluster(monkeypatch, _HEAD)
    with caplog.at_level(logging.WARNING):
        wait_for_node(num_cpus=1.0)  # Ray does have one
    (record,) = caplog.records
    assert "waiting for a node with 1 CPUs;" in record.getMessage()
