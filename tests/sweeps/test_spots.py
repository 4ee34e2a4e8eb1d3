"""Where trials are measured, and how many of them a place may have."""

from typing import Any, Literal

from cluster.session import NodeResources
from sweeps.spots import find_spot, kind_of_node


def node(num_cpus: float, num_gpus: float = 0) -> NodeResources:
    return NodeResources(num_cpus=num_cpus, num_gpus=num_gpus)


def test_it_is_measured_on_a_node_of_the_kind_that_most_are_of() -> None:
    nodes = (node(0), node(64), node(8), node(8), node(4, 1), node(4, 0.5))
    assert kind_of_node(nodes, device="cpu") == node(8)
    assert kind_of_node(nodes, device="cuda") == node(4, 1)
    assert kind_of_node(nodes[:3], device="cuda") is None


class TestSpot:
    def _most(self, nodes: tuple[NodeResources, ...], device: Literal["cpu", "cuda"], **settings: Any) -> int:
        values = {"cpus_per_trial": "auto", "max_concurrent_trials": 0, **settings}
        spot = find_spot(nodes, device=device, **values)
        assert spot is not None
        return spot.most_at_once

    def test_a_node_has_as_many_trials_as_cpus_and_a_gpu_as_many_as_have_cpus_beside_it(self) -> None:
        assert self._most((node(8), node(8)), "cpu") == 8
        assert self._most((node(8, 2),), "cuda") == 16
        assert self._most((node(8, 2),), "cuda", cpus_per_trial=2.0) == 2
        assert self._most((node(8, 2),), "cuda", cpus_per_trial=8.0) == 1

    def test_no_more_than_the_settings_allow_are_dealt_to_all_places(self) -> None:
        assert self._most((node(8), node(8)), "cpu", max_concurrent_trials=4) == 2
        assert self._most((node(8, 2), node(8, 2)), "cuda", max_concurrent_trials=6) == 2
        assert self._most((node(2),), "cpu", max_concurrent_trials=100) == 2

    def test_what_was_measured_under_a_limit_is_not_taken_for_what_has_none(self) -> None:
        spots = [
            find_spot((node(8),), device="cpu", cpus_per_trial="auto", max_concurrent_trials=most) for most in (0, 1, 8)
        ]
        assert [spot.in_words for spot in spots if spot] == ["8 CPUs", "8 CPUs, at most 1 at once", "8 CPUs"]
