"""A real trial, interrupted and taken up, as TensorBoard has it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sweep_toys import make_data
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from storage.checkpoints import Checkpoints
from storage.object_store import open_store
from sweeps.loggers import LogSettings, RunInfo, open_logger
from training import TrialConfig, run_trial
from training.progress import EpochMetrics
from training.seed_turns import Paused


def test_a_trial_that_was_interrupted_has_every_epoch_and_every_score_once(tmp_path: Path) -> None:
    config = TrialConfig(
        architecture="cnn",
        dataset="toy-0",
        fingerprint="f" * 16,
        split_hash="5" * 16,
        model={"width": 2},
        seeds=(1, 2),
        epochs=3,
        batch_size=4,
    )
    with pytest.raises(Paused):  # in the last epoch of the first seed, then in the second one of the second
        _train(config, tmp_path, pause=_after(13))
    with pytest.raises(Paused):
        _train(config, tmp_path, pause=_after(9))
    _train(config, tmp_path, pause=lambda: False)
    for seed in (1, 2):
        folder = tmp_path / "logs" / "toys" / config.trial_id / f"seed={seed}"
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        assert sorted(event.step for event in events.Scalars("loss/train")) == [1, 2, 3]
        assert [event.step for event in events.Scalars("final/test/accuracy")] == [3]
    assert len(list(tmp_path.rglob("events.out*"))) > 2


def _train(config: TrialConfig, folder: Path, *, pause: Callable[[], bool]) -> None:
    logger = open_logger(LogSettings(folder=str(folder / "logs")))
    logger.start(RunInfo(run_id=config.trial_id, name="toy", group="toys", configuration=config.to_dict()))

    def report(*, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> None:
        logger.epoch(seed=seed, fold=None, metrics=metrics)

    checkpoints = Checkpoints(open_store(str(folder / "store")), "toy")
    run_trial(
        config,
        make_data(),
        report,
        checkpoints,
        on_seed=lambda result: logger.seed(fold=None, result=result),
        pause=pause,
    )
    logger.end("finished")


def _after(num_steps: int) -> Callable[[], bool]:
    steps = iter(range(1, num_steps))
    return lambda: next(steps, None) is None
