"""Experiments in which something breaks: a process, the news, memory, a machine between two writes."""

import logging
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from experiment_toys import FOLDER, make_plan, run, table, toy_features, toy_splits
from sweep_toys import SWEEP_ROW

from storage.local import LocalObjectStore
from storage.object_store import open_store
from storage.results_table import ResultsTable
from sweeps import run_experiment
from sweeps.fold_task import Turn
from sweeps.ledger import Ledger
from sweeps.news import FoldEnded, News, NewsQueue
from sweeps.run_experiment import ExperimentOutcome
from sweeps.train_turns import Failure, train_turns
from sweeps.trial_actor import checkpoint_prefix
from training import TrialResult
from training.steps import OutOfMemory

pytestmark = pytest.mark.usefixtures("ray_local")


def store_that_raises(folder: Path, error: Exception, *, trial_id: str) -> LocalObjectStore:
    """In the worker of one trial, where an epoch is to be recorded."""

    class Raising(LocalObjectStore):  # local to this function, so that it travels to workers as it is
        def put_if_absent(self, key: str, data: bytes) -> bool:
            if "results/epochs/" in key and trial_id in key:
                raise error
            return super().put_if_absent(key, data)

    return Raising(folder)


class TestErrorsOfOneFold:
    """The other fold is trained, and the same experiment again completes it."""

    @pytest.mark.parametrize(
        ("error", "told", "reason"),
        [
            (MemoryError(), "MemoryError", "MemoryError"),
            pytest.param(OSError("line one\nline two"), "line two", "OSError", marks=pytest.mark.slow),
            pytest.param(
                torch.OutOfMemoryError("CUDA out of memory"),
                "out_of_memory: CUDA out of memory; the fold stays open",
                "out_of_memory",
                marks=pytest.mark.slow,
            ),
        ],
    )
    def test_is_told_in_a_line_and_leaves_the_fold_open(
        self, error: Exception, told: str, reason: str, tmp_path: Path
    ) -> None:
        plan = make_plan(seeds=(1,), epochs=1)
        store = store_that_raises(tmp_path, error, trial_id=plan.trial_config(1).trial_id)
        outcome = run(plan, store)
        assert outcome.num_run == 1
        assert set(outcome.failed) == {1}
        assert outcome.failed[1].startswith(told)
        assert "\n" not in outcome.failed[1]
        assert {row["reason"] for row in table(store, "failures", plan)} == {reason, "gave_up"}
        assert [row["state"] for row in table(store, "trials", plan)] == ["finished"]
        assert run(plan, open_store(str(tmp_path))) == ExperimentOutcome(num_found=1, num_run=1, failed={})


class Starter:
    """Starts tasks that have too little memory with less than a whole GPU."""

    def __init__(self, *, enough_with: float) -> None:
        self.turns: list[tuple[int | None, float]] = []
        self._enough_with = enough_with

    def start(self, turn: Turn, queue: NewsQueue) -> Any:
        self.turns.append((turn.fold, turn.num_gpus))

        @ray.remote(num_cpus=0, max_retries=0)
        def train(has_enough: bool) -> TrialResult:
            if not has_enough:
                raise OutOfMemory("one clip needs more memory than cuda:0 has left")
            return TrialResult(state="finished", seed_epochs=2, objective=0.5, seeds=())

        return train.remote(turn.num_gpus >= self._enough_with)


class TestOutOfMemory:
    def _train(self, store: LocalObjectStore, starter: Starter, num_gpus: float) -> dict[int, Failure]:
        plan = make_plan()
        ledger = Ledger(ResultsTable(store), plan.experiment_id)
        waiting = [Turn(suggestion=suggestion, num_gpus=num_gpus) for suggestion in plan.suggestions()]
        return train_turns(waiting, starter, ledger, at_a_time=2, on_news=lambda news: None)

    def test_a_fold_that_shared_a_gpu_is_tried_once_more_with_a_whole_one(self, tmp_path: Path) -> None:
        store, starter = LocalObjectStore(tmp_path), Starter(enough_with=1.0)
        assert self._train(store, starter, 0.25) == {}
        assert sorted(starter.turns) == [(1, 0.25), (1, 1.0), (2, 0.25), (2, 1.0)]
        assert [row["state"] for row in table(store, "trials")] == ["finished"] * 2

    @pytest.mark.parametrize("num_gpus", [0.5, 1.0, 0.0])
    def test_where_a_whole_one_is_not_enough_the_fold_stays_open(self, num_gpus: float, tmp_path: Path) -> None:
        store, starter = LocalObjectStore(tmp_path), Starter(enough_with=8.0)
        failed = self._train(store, starter, num_gpus)
        assert len(starter.turns) == (4 if num_gpus == 0.5 else 2)
        assert all("the same command tries it again" in failure.reason for failure in failed.values())
        assert all(failure.is_open for failure in failed.values())
        assert set(failed) == {0, 1}
        assert table(store, "trials") == []
        assert {row["reason"] for row in table(store, "failures")} == {"gave_up"}


class TestNews:
    def test_what_a_worker_tells_is_heard_in_its_order(self) -> None:
        queue = NewsQueue()

        @ray.remote(num_cpus=0)
        def tell(queue: NewsQueue) -> None:
            for fold in (3, 1, 2):
                queue.tell(FoldEnded(number=0, fold=fold, state="finished"))

        ray.get(tell.remote(queue))
        assert queue.heard() == [FoldEnded(number=0, fold=fold, state="finished") for fold in (3, 1, 2)]
        assert queue.heard() == []
        queue.close()

    def test_a_queue_that_is_gone_is_told_of_once_and_raises_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        queue = NewsQueue()
        ray.kill(queue._queue.actor)
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                queue.tell(FoldEnded(number=0, fold=1, state="finished"))
                assert queue.heard() == []
        assert [record.message.partition(" (")[0] for record in caplog.records] == [
            "the progress of folds can no longer be told"
        ]

    @pytest.mark.slow
    def test_an_experiment_whose_news_are_lost_is_trained_all_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Dying(NewsQueue):
            def heard(self) -> list[News]:
                news = super().heard()
                if news:
                    ray.kill(self._queue.actor)
                return news

        monkeypatch.setattr("sweeps.train_turns.NewsQueue", Dying)
        store, plan = open_store(str(tmp_path)), make_plan()
        assert run(plan, store) == ExperimentOutcome(num_found=0, num_run=2, failed={})
        assert len(table(store, "epochs", plan)) == 8


def test_checkpoints_that_a_dead_process_left_of_ended_folds_are_removed(tmp_path: Path) -> None:
    store, plan = open_store(str(tmp_path)), make_plan(seeds=(1,), epochs=1)
    run(plan, store)
    left = f"{checkpoint_prefix(plan.experiment_id, plan.trial_config(2).trial_id)}/seed=1/step-00000001.safetensors"
    store.put(left, b"x")
    assert run(plan, store).num_found == 2
    assert not list(store.list("checkpoints/"))


@pytest.mark.slow
def test_features_are_not_loaded_where_no_fold_is_open(tmp_path: Path) -> None:
    store, plan = open_store(str(tmp_path)), make_plan(seeds=(1,), epochs=1)
    run(plan, store)

    def load() -> Any:
        raise AssertionError("nobody needs them")

    splits = toy_splits(toy_features())
    assert run_experiment(plan, load, splits, store, folder=FOLDER, sweep_row=SWEEP_ROW).num_found == 2


class Stopped(Exception):
    """Stands for a driver that ends in the middle: SIGTERM, Ctrl-C, a store that fails."""


def test_folds_that_run_when_the_driver_ends_put_down_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan = open_store(str(tmp_path)), make_plan(epochs=5000)
    forced: list[bool] = []
    cancel = ray.cancel

    def heard_cancel(reference: Any, *, force: bool = False, recursive: bool = True) -> None:
        forced.append(force)
        cancel(reference, force=force, recursive=recursive)

    monkeypatch.setattr(ray, "cancel", heard_cancel)
    monkeypatch.setattr("sweeps.train_turns._PUT_DOWN_S", 100.0)

    def stop(news: News) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        run_experiment(
            plan, toy_features, toy_splits(toy_features()), store, folder=FOLDER, sweep_row=SWEEP_ROW, on_news=stop
        )
    assert forced == [False]  # it ended by itself
    assert len(list(store.list(f"checkpoints/{plan.experiment_id}/"))) == 1
    assert table(store, "failures", plan) == []
