"""Which epoch is the best one, when a seed has waited long enough, and what is told where an average is none."""

from typing import Any

import pytest

from training.progress import EpochMetrics, Progress, swa_events
from training.recipe import LoopConfig, SelectBy

# score, loss and KL divergence of four epochs; each of the first three is the best one by another of them.
EPOCHS = [(0.9, 0.7, 0.8), (0.8, 0.3, 0.7), (0.7, 0.6, 0.2), (0.6, 0.8, 0.9)]


def _metrics(epoch: int, score: float, loss: float, kl: float) -> EpochMetrics:
    values: dict[str, Any] = {"train_loss": 1.0, "validation_accuracy": 0.5, "learning_rate": 0.1, "epoch_seconds": 1.0}
    return EpochMetrics(epoch=epoch, validation_score=score, validation_loss=loss, validation_kl=kl, **values)


def _after(epochs: list[tuple[float, float, float]], select_by: SelectBy) -> Progress:
    progress = Progress()
    for number, numbers in enumerate(epochs, start=1):
        is_best = progress.finish_epoch(_metrics(number, *numbers), select_by=select_by)
        assert is_best == (progress.best_epoch == number)
    return progress


@pytest.mark.parametrize(("select_by", "best"), [("score", 1), ("loss", 2), ("kl", 3)])
def test_the_best_epoch_is_the_one_that_the_recipe_asks_for(select_by: SelectBy, best: int) -> None:
    progress = _after(EPOCHS, select_by)
    assert progress.best_epoch == best
    assert progress.best_score == progress.best_score_after(4, select_by=select_by) == EPOCHS[best - 1][0]
    assert [progress.has_waited(patience) for patience in (4 - best, 5 - best)] == [True, False]


@pytest.mark.parametrize(
    ("select_by", "second"), [("score", (0.5, 0.4, 0.9)), ("loss", (0.6, 0.5, 0.9)), ("kl", (0.6, 0.9, 0.5))]
)
def test_ties_are_decided_and_the_first_of_two_equal_epochs_stays(
    select_by: SelectBy, second: tuple[float, float, float]
) -> None:
    first = (0.5, 0.5, 0.5)
    assert _after([first, second, second], select_by).best_epoch == 2
    assert _after([second, first], select_by).best_epoch == 1


def test_epochs_of_a_checkpoint_from_before_there_was_a_divergence_are_read() -> None:
    progress = _after(EPOCHS[:2], "score")
    for values in progress.history:
        del values["validation_kl"]
    assert progress.best_score_after(2, select_by="score") == 0.9


def test_it_is_told_where_the_weights_are_no_average_though_the_recipe_averages() -> None:
    loop = LoopConfig(swa_epochs=3)
    (stopped,) = swa_events(loop, epochs=10, epochs_trained=7, best_epoch=3)
    assert "those of epoch 3 and no average" in stopped
    assert "early stopping ended the seed after epoch 7, before SWA began in epoch 8" in stopped
    (worse,) = swa_events(loop, epochs=10, epochs_trained=10, best_epoch=7)
    assert "epoch 7 was better on validation than every average since epoch 8" in worse
    assert swa_events(loop, epochs=10, epochs_trained=8, best_epoch=8) == ()
    assert swa_events(LoopConfig(), epochs=10, epochs_trained=10, best_epoch=1) == ()
