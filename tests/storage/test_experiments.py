"""Numbers of experiments: one each, given once, whoever asks and however many at a time; and what goes with one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.errors import InvalidInput
from storage.experiments import (
    experiment_number,
    find_experiment,
    list_experiments,
    objects_of_experiment,
    remove_experiment,
)
from storage.object_store import ObjectStore


def _numbers(store: ObjectStore) -> dict[str, int]:
    return {experiment.experiment_id: experiment.number for experiment in list_experiments(store)}


def test_numbers_follow_the_order_of_beginning_and_stay(store: ObjectStore) -> None:
    assert [experiment_number(store, name, about={}) for name in ("a-1", "b-2", "a-1", "c-3")] == [1, 2, 1, 3]
    assert _numbers(store) == {"a-1": 1, "b-2": 2, "c-3": 3}
    assert abs(list_experiments(store)[0].begun_at - datetime.now(UTC)) < timedelta(hours=1)


def test_a_number_is_not_given_again_when_another_folder_is_gone(store: ObjectStore) -> None:
    for name in ("a", "b", "c"):
        experiment_number(store, name, about={})
    store.delete("experiments/0002/experiment.json")
    assert experiment_number(store, "d", about={}) == 4


def test_experiments_that_begin_at_once_have_different_numbers(store: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda name: experiment_number(store, name, about={}), "abcdefgh"))
    assert sorted(numbers) == list(range(1, 9))


def test_processes_that_begin_the_same_experiment_at_once_are_told_one_number(
    race_processes: Callable[..., list[str]], tmp_path: Path
) -> None:
    code = (
        "from storage.experiments import experiment_number; from storage.object_store import open_store\n"
        f"store = open_store({str(tmp_path)!r})\nwait_for_start()\n"
        "print(experiment_number(store, 'same', about={}))\n"
    )
    assert set(race_processes(code, num_processes=3)) == {"1"}


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"begun_at": "soon", "experiment_id": "x"}', b"{}"])
def test_a_damaged_file_is_named_and_stops_no_other_experiment(
    damage: bytes, store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("experiments/0007/experiment.json", damage)
    assert experiment_number(store, "a", about={}) == 8
    assert "experiments/0007/experiment.json is damaged" in caplog.text
    warned: list[str] = []
    assert [experiment.number for experiment in list_experiments(store, warn=warned.append)] == [8]
    assert len(warned) == 1


def test_one_that_was_begun_before_dates_were_kept_has_that_of_its_file(store: ObjectStore) -> None:
    store.put("experiments/0001/experiment.json", b'{"experiment_id": "old-1"}')
    (old,) = list_experiments(store)
    assert abs(old.begun_at - datetime.now(UTC)) < timedelta(hours=1)
    assert old.name == "old"


def test_an_unknown_number_is_refused_with_the_known_ones(store: ObjectStore) -> None:
    with pytest.raises(InvalidInput, match="holds no experiment"):
        find_experiment(store, 1)
    for name in ("a", "b"):
        experiment_number(store, name, about={})
    assert find_experiment(store, 2).experiment_id == "b"
    with pytest.raises(InvalidInput, match="got 3; allowed: one of 1, 2"):
        find_experiment(store, 3)


class TestRemoval:
    OWN = (
        "results/trials/sweep=toy-b/t1.parquet",
        "results/sweeps/sweep=toy-b/sweep.parquet",
        "checkpoints/toy-b/t1/seed=1/step-00000001.safetensors",
        "models/toy-b/t1/seed=1.safetensors",
        "reports/toy-b.html",
        "reports/toy-b/curves.png",
        "experiments/0002/embeddings/fold=1/seed=1.parquet",
    )
    OTHERS = (
        "results/trials/sweep=toy-bb/t1.parquet",
        "models/toy-a/t1/seed=1.safetensors",
        "reports/toy-b2.html",
        "features/toy/f/_MANIFEST.json",
    )

    @pytest.fixture
    def two(self, store: ObjectStore) -> ObjectStore:
        """Two experiments, and objects of the second one and of others."""
        for name in ("toy-a", "toy-b"):
            experiment_number(store, name, about={})
        for key in (*self.OWN, *self.OTHERS):
            store.put(key, b"x")
        return store

    def test_takes_all_that_is_of_the_experiment_alone(self, two: ObjectStore) -> None:
        remove_experiment(two, find_experiment(two, 2))
        keys = {info.key for info in two.list("")}
        assert keys == {*self.OTHERS, "experiments/0001/experiment.json", "experiments/0002/removed.json"}
        assert _numbers(two) == {"toy-a": 1}

    def test_does_not_set_the_number_free(self, two: ObjectStore) -> None:
        remove_experiment(two, find_experiment(two, 2))
        assert experiment_number(two, "toy-b", about={}) == 3

    def test_that_was_interrupted_is_gone_on_with_and_begins_with_the_ends_of_folds(self, two: ObjectStore) -> None:
        keys = [info.key for info in objects_of_experiment(two, find_experiment(two, 2))]
        assert (keys[0], keys[-1]) == (self.OWN[0], "experiments/0002/experiment.json")
        for key in keys[:4]:
            two.delete(key)
        assert find_experiment(two, 2).experiment_id == "toy-b"
        remove_experiment(two, find_experiment(two, 2))
        assert not [info for info in two.list("") if "toy-b/" in info.key]
