"""How many actors there are and what each asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.shards.placement import Placement, place_on_cores, place_on_gpus


def test_there_is_one_actor_for_each_core_and_none_without_a_shard() -> None:
    assert place_on_cores(0, num_cpus=8.0, num_requests=100) == Placement(num_actors=8)
    assert place_on_cores(3, num_cpus=8.0, num_requests=100).num_actors == 3
    assert place_on_cores(0, num_cpus=8.0, num_requests=5).num_actors == 5
    assert place_on_cores(0, num_cpus=0.0, num_requests=5).num_actors == 1


@pytest.mark.parametrize(
    ("num_actors", "num_gpus", "num_cpus", "num_requests", "expected", "share"),
    [
        (0, 1, 16, 1000, 16, 0.0625),
        (0, 1, 64, 1000, 16, 0.0625),
        (0, 2, 16, 1000, 16, 0.125),
        (0, 4, 2, 1000, 4, 1.0),
        (0, 1, 16, 3, 3, 0.3333),
        (1, 1, 16, 1000, 1, 1.0),
        (20, 1, 16, 1000, 20, 0.05),
        (3, 2, 16, 1000, 3, 0.5),
    ],
)
def test_the_cores_beside_a_gpu_share_it(
    num_actors: int, num_gpus: int, num_cpus: int, num_requests: int, expected: int, share: float
) -> None:
    placement = place_on_gpus(num_actors, num_gpus=num_gpus, num_cpus=num_cpus, num_requests=num_requests)
    assert (placement.num_actors, placement.num_gpus) == (expected, share)


@given(
    num_actors=st.integers(0, 100),
    num_gpus=st.integers(1, 16),
    num_cpus=st.integers(1, 256),
    num_requests=st.integers(1, 1000),
)
def test_all_actors_fit_on_the_gpus(num_actors: int, num_gpus: int, num_cpus: int, num_requests: int) -> None:
    placement = place_on_gpus(num_actors, num_gpus=num_gpus, num_cpus=num_cpus, num_requests=num_requests)
    assert placement.num_gpus is not None
    fitting_on_one = int((1.0 + 1e-9) / placement.num_gpus)
    assert 1 <= placement.num_actors <= fitting_on_one * num_gpus
