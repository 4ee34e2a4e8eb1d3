"""What actors answer, and that nothing of it stays on the cluster."""

import contextlib
import gc
import time
from collections.abc import Iterator
from typing import Any

import pytest
import ray

from cluster.actor_map import map_by_actors
from cluster.versions import Versions, VersionsDiffer

pytestmark = pytest.mark.usefixtures("ray_local")


class Doubling:
    def __init__(self, refused: int, versions: Versions) -> None:
        self._refused, self._refusal = refused, versions.refusal()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        (number,) = batch["number"]
        refusal = "other packages" if number == self._refused else self._refusal
        return {"double": [2 * int(number)], "refusal": [refusal]}


@pytest.fixture
def references() -> Iterator[set[int]]:
    """Of objects of Ray, before; nothing but the test collects garbage."""
    gc.collect()
    gc.disable()
    yield _references()
    gc.enable()


def test_every_row_is_answered_and_nothing_is_kept(references: set[int]) -> None:
    assert sorted(row["double"] for row in _answers(refused=-1)) == list(range(0, 24, 2))
    assert _references() <= references


def test_what_nobody_reads_to_its_end_goes_but_for_what_was_about_to_be_read(references: set[int]) -> None:
    with contextlib.closing(_answers(refused=-1)) as answers:
        next(answers)
        assert len(_references() - references) > 1
    deadline = time.monotonic() + 30  # Ray Data's threads end after a while
    while len(_references() - references) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        gc.collect()


def test_a_refusal_of_an_actor_ends_the_reading() -> None:
    with pytest.raises(VersionsDiffer, match=r"^other packages$"):
        list(_answers(refused=5))


def _answers(refused: int) -> Any:
    rows = [{"number": number} for number in range(12)]
    return map_by_actors(rows, Doubling, (refused,), num_actors=2, num_cpus=0.5, num_gpus=None)


def _references() -> set[int]:
    return {id(thing) for thing in gc.get_objects() if issubclass(type(thing), ray.ObjectRef)}
