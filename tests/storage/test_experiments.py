"""Numbers of experiments: one each, given once, whoever asks and however many at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.experiments import experiment_number, list_experiments
from storage.object_store import ObjectStore


def test_numbers_follow_the_order_of_beginning_and_stay(store: ObjectStore) -> None:
    assert [experiment_number(store, name, about={}) for name in ("a-1", "b-2", "a-1", "c-3")] == [1, 2, 1, 3]
    assert list_experiments(store) == {"a-1": 1, "b-2": 2, "c-3": 3}


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


def test_a_damaged_file_is_named(store: ObjectStore) -> None:
    store.put("experiments/0007/experiment.json", b"{")
    with pytest.raises(StorageError, match=r"experiments/0007/experiment\.json is damaged"):
        experiment_number(store, "a", about={})
