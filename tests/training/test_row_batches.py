"""Rows are answered in order, in smaller batches where memory runs out, which is told once and remembered."""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from storage.errors import InvalidInput
from training import TrialConfig, TrialData, inputs
from training.inputs import device_data
from training.row_batches import RowBatches
from training.seed_run import SeedRun
from training.steps import OutOfMemory

CPU, CUDA = torch.device("cpu"), torch.device("meta")  # any device that is no CPU


class Little:
    """Answers with the rows' numbers, no more than `most` at once; remembers how many were asked for."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, list[int]()

    def __call__(self, rows: slice) -> torch.Tensor:
        self.asked.append(rows.stop - rows.start)
        if self.asked[-1] > self.most:
            raise torch.OutOfMemoryError
        return torch.arange(rows.start, rows.stop)


def answered(batches: RowBatches, num_rows: int, memory: Little, *, input_size: int = 1) -> list[int]:
    return [int(row) for batch in batches.answers(num_rows, memory, input_size=input_size) for row in batch]


def test_rows_that_fit_are_answered_256_at_once() -> None:
    events: list[str] = []
    memory, batches = Little(256), RowBatches(CPU, on_event=events.append)
    assert answered(batches, 600, memory, input_size=64 * 108) == list(range(600))
    assert memory.asked == [256, 256, 88]
    assert events == []
    assert answered(batches, 0, memory) == []


def test_rows_that_do_not_fit_are_answered_in_halves_and_that_is_told_once() -> None:
    events: list[str] = []
    memory, batches = Little(70), RowBatches(CPU, on_event=events.append)
    assert answered(batches, 300, memory) == list(range(300))
    assert memory.asked == [256, 128, 64, 64, 64, 64, 44]
    assert events == ["out of memory: rows are now answered 64 at once"]
    assert answered(batches, 100, memory) == list(range(100))
    assert memory.asked[7:] == [64, 36]
    assert len(events) == 1


@pytest.mark.parametrize("num_rows", [2, 3, 5, 40])
def test_fewer_rows_than_a_batch_are_not_asked_for_again_as_they_were(num_rows: int) -> None:
    memory = Little(1)
    assert answered(RowBatches(CPU), num_rows, memory) == list(range(num_rows))
    assert memory.asked == sorted(memory.asked, reverse=True)
    assert memory.asked.count(num_rows) == 1


def test_a_single_row_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(OutOfMemory, match="one clip needs more memory than cpu has left"):
        answered(RowBatches(CPU), 4, Little(0))


@pytest.mark.parametrize(
    ("input_size", "on_cpu"), [(1, 256), (64 * 108, 256), (128 * 216, 32), (224 * 224, 16), (2**30, 1)]
)
def test_a_cpu_takes_fewer_large_inputs_at_once(input_size: int, on_cpu: int) -> None:
    assert RowBatches(CPU).at_once(input_size) == on_cpu
    assert RowBatches(CUDA).at_once(input_size) == 256


def _seed(config: TrialConfig, data: TrialData, *, most_rows: int = 256) -> SeedRun:
    """Its model takes no more rows at once when it is scored."""
    run = SeedRun(config, seed=1, data=device_data(data, config, CPU))

    def hold(module: torch.nn.Module, given: tuple[Any, ...]) -> None:
        if not module.training and len(given[0]) > most_rows:
            raise torch.OutOfMemoryError

    run.model.register_forward_pre_hook(hold)
    return run


def test_a_seed_whose_validation_does_not_fit_at_once_is_scored_all_the_same(
    trial_config: TrialConfig, trial_data: TrialData
) -> None:
    with torch.random.fork_rng():
        whole, halved = _seed(trial_config, trial_data), _seed(trial_config, trial_data, most_rows=5)
        expected, found = [(run.train_epoch(), run.train_epoch()) for run in (whole, halved)]
        results = whole.result(), halved.result()
    assert found[1] is not None
    assert expected[1] is not None
    assert found[1].validation_loss == pytest.approx(expected[1].validation_loss, rel=1e-5)
    np.testing.assert_allclose(results[1].test_embeddings, results[0].test_embeddings, rtol=1e-5, atol=1e-6)
    assert results[0].events == ()
    assert results[1].events == ("epoch 1: out of memory: rows are now answered 4 at once",)


def test_a_seed_that_goes_on_knows_what_did_not_fit(trial_config: TrialConfig, trial_data: TrialData) -> None:
    with torch.random.fork_rng():
        run, again = (_seed(trial_config, trial_data, most_rows=5) for _ in range(2))
        run.train_epoch()
        again.restore(copy.deepcopy(run.checkpoint()))
        run.train_epoch()
        again.train_epoch()
    assert again.history[1].validation_loss == run.history[1].validation_loss
    assert again.result().events == run.result().events == ("epoch 1: out of memory: rows are now answered 4 at once",)


def test_log_mels_that_do_not_fit_are_told_with_their_size_and_a_remedy(
    trial_config: TrialConfig, trial_data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*given: object, **options: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(inputs, "_tensor", out_of_memory)
    with pytest.raises(InvalidInput, match=r"36 rows of together 23,040 bytes.*memory that cpu has left.*gpus_per"):
        device_data(trial_data, trial_config, CPU)
