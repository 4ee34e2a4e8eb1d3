"""A trial whose seeds train together reports, stops and resumes as one whose seeds train one after the other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from storage.checkpoints import Checkpoints
from storage.object_store import open_store
from training import SeedResult, TrialConfig, TrialData, run_trial
from training import fuse_choice as fuse_choice_module
from training.config import with_values
from training.fuse_choice import FuseSeeds, choose, why_not
from training.progress import EpochMetrics
from training.run_trial import TrialResult
from training.seed_run import SeedRun
from training.seed_turns import Paused
from training.steps import OutOfMemory

Heard = tuple[int, int, float, EpochMetrics]


class Interrupted(Exception):
    """Stands for a process that dies."""


class Trial:
    """A trial in a folder, and what its caller has heard."""

    def __init__(self, config: TrialConfig, data: TrialData, folder: Path) -> None:
        self._config, self._data = config, data
        self._checkpoints = Checkpoints(open_store(str(folder)), "trial")
        self.heard: list[Heard] = []
        self.received: list[SeedResult] = []

    def run(
        self, fuse_seeds: FuseSeeds, *, die_after: int | None = None, stop_at: int | None = None, pause: Any = None
    ) -> TrialResult:
        before = len(self.heard)

        def report(*, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> str | None:
            self.heard.append((seed, seed_epoch, objective, metrics))
            if die_after is not None and len(self.heard) - before > die_after:
                raise Interrupted
            return "stop" if seed_epoch == stop_at else None

        return run_trial(
            self._config,
            self._data,
            report,
            self._checkpoints,
            on_seed=self.received.append,
            pause=pause or (lambda: False),
            fuse_seeds=fuse_seeds,
        )


@pytest.fixture
def config(trial_config: TrialConfig) -> TrialConfig:
    return with_values(trial_config, {"model.dropout": 0.3, "epochs": 3})


def test_the_caller_hears_the_same_epochs_in_the_same_order(
    config: TrialConfig, trial_data: TrialData, tmp_path: Path
) -> None:
    together, alone = Trial(config, trial_data, tmp_path / "a"), Trial(config, trial_data, tmp_path / "b")
    ours, theirs = together.run("always"), alone.run("never")
    assert [heard[:2] for heard in together.heard] == [heard[:2] for heard in alone.heard]
    for (*_, objective, metrics), (*_, expected, separate) in zip(together.heard, alone.heard, strict=True):
        assert objective == pytest.approx(expected, abs=1e-5)
        assert metrics.validation_loss == pytest.approx(separate.validation_loss, abs=1e-5)
    assert (ours.state, ours.seed_epochs) == (theirs.state, theirs.seed_epochs)
    assert [result.seed for result in together.received] == [1, 2]
    for result, expected_result in zip(ours.seeds, theirs.seeds, strict=True):
        assert result.best_epoch == expected_result.best_epoch
        assert np.allclose(result.test.probabilities, expected_result.test.probabilities, atol=1e-5, rtol=0)
    assert ours.seeds[0].events == ("epoch 1: the seeds train together, as the caller wishes",)


@pytest.mark.parametrize("die_after", [0, 2, 4])
def test_taken_up_again_it_ends_as_the_undisturbed_one_bit_for_bit(
    config: TrialConfig, trial_data: TrialData, tmp_path: Path, die_after: int
) -> None:
    undisturbed, killed = Trial(config, trial_data, tmp_path / "a"), Trial(config, trial_data, tmp_path / "b")
    expected = undisturbed.run("always")
    with pytest.raises(Interrupted):
        killed.run("always", die_after=die_after)
    torch.rand(7)  # another process would have another global state
    resumed = killed.run("never")  # it goes on as it began
    for ours, theirs in zip(resumed.seeds, expected.seeds, strict=True):
        assert np.array_equal(ours.test.probabilities, theirs.test.probabilities)
    seed_epochs = {(seed, seed_epoch): objective for seed, seed_epoch, objective, _ in killed.heard}
    assert seed_epochs == {(seed, seed_epoch): objective for seed, seed_epoch, objective, _ in undisturbed.heard}


def test_a_pause_loses_not_even_a_step(config: TrialConfig, trial_data: TrialData, tmp_path: Path) -> None:
    undisturbed, paused = Trial(config, trial_data, tmp_path / "a"), Trial(config, trial_data, tmp_path / "b")
    expected, asked = undisturbed.run("always"), iter([False, False, True, True])
    with pytest.raises(Paused):
        paused.run("always", pause=lambda: next(asked))
    assert paused.heard == []
    for ours, theirs in zip(paused.run("always").seeds, expected.seeds, strict=True):
        assert np.array_equal(ours.test.probabilities, theirs.test.probabilities)


def test_a_trial_that_began_with_one_seed_after_the_other_goes_on_so(
    config: TrialConfig, trial_data: TrialData, tmp_path: Path
) -> None:
    trial = Trial(config, trial_data, tmp_path)
    with pytest.raises(Interrupted):
        trial.run("never", die_after=1)
    result = trial.run("always")
    assert [seed.events for seed in result.seeds] == [(), ()]


def test_stop_at_the_second_seed_is_heard_as_if_it_trained_after_the_first(
    config: TrialConfig, trial_data: TrialData, tmp_path: Path
) -> None:
    trial = Trial(config, trial_data, tmp_path)
    result = trial.run("always", stop_at=4)
    assert (result.state, result.seed_epochs, len(trial.heard)) == ("stopped", 4, 4)
    assert [seed.seed for seed in result.seeds] == [1]


@pytest.mark.parametrize(("speedup", "together"), [(1.6, True), (0.7, False)])
def test_seeds_train_together_only_where_that_was_measured_to_be_faster(
    config: TrialConfig,
    trial_data: TrialData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    speedup: float,
    together: bool,
) -> None:
    monkeypatch.setattr(fuse_choice_module, "_LEAST_STEPS", 0)
    monkeypatch.setattr(fuse_choice_module, "measure_speedup", lambda runs: speedup)
    trial = Trial(config, trial_data, tmp_path)
    event = trial.run("auto").seeds[0].events[0]
    assert f"{speedup:.2f} times as fast" in event
    assert ("train together" in event) == together
    names = {path.name for path in (tmp_path / "trial").iterdir()}
    assert names == ({"together"} if together else {"seed=1", "seed=2"})


_ALEXNET = {"architecture": "alexnet", "optimizer.kind": "adam"}


@pytest.mark.parametrize(
    ("values", "allowed", "drifting"),
    [
        ({}, "auto", None),
        ({"loop.precision": "bf16"}, "auto", "bf16"),
        ({"loop.precision": "bf16"}, "always", None),
        (_ALEXNET, "auto", "adam with alexnet"),
        (_ALEXNET, "always", None),
        ({**_ALEXNET, "optimizer.kind": "sgd"}, "auto", None),
    ],
)
def test_a_stopwatch_decides_only_where_the_numbers_do_not_depend_on_it(
    trial_config: TrialConfig,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    allowed: FuseSeeds,
    drifting: str | None,
) -> None:
    class Run:
        num_steps = 10**6

    monkeypatch.setattr(fuse_choice_module, "measure_speedup", lambda runs: 2.0)
    choice = choose(with_values(trial_config, values), lambda seed: Run(), allowed)  # type: ignore[arg-type, return-value]
    assert choice.together == (drifting is None)
    if drifting is not None:
        assert f"{drifting} would give numbers that depend on what a stopwatch says" in choice.reason


def test_seeds_that_do_not_fit_together_into_memory_train_one_after_the_other(trial_config: TrialConfig) -> None:
    def scarce(seed: int) -> SeedRun:
        raise OutOfMemory("the model needs more memory")

    choice = choose(trial_config, scarce, "auto")
    assert not choice.together
    assert "do not fit into the device's memory" in choice.reason


def test_seeds_that_begin_after_a_resume_say_how_they_train(
    config: TrialConfig, trial_data: TrialData, tmp_path: Path
) -> None:
    trial = Trial(config, trial_data, tmp_path)
    with pytest.raises(Interrupted):
        trial.run("auto", die_after=1)
    events = [seed.events for seed in trial.run("auto").seeds]
    assert "15 steps are too few to measure" in events[0][0]
    assert events[0] == events[1]
    assert len(events[0]) == 1


def test_measuring_changes_no_number(
    config: TrialConfig, trial_data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuse_choice_module, "_LEAST_STEPS", 0)
    monkeypatch.setattr(fuse_choice_module, "_LEAST_GAIN", float("inf"))
    measured, plain = Trial(config, trial_data, tmp_path / "a"), Trial(config, trial_data, tmp_path / "b")
    for ours, theirs in zip(measured.run("auto").seeds, plain.run("never").seeds, strict=True):
        assert "20 steps together were" in ours.events[0]
        assert np.array_equal(ours.test.probabilities, theirs.test.probabilities)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"architecture": "resnet50"}, "only cnn and alexnet"),
        ({"schedule.kind": "plateau"}, "plateau"),
        ({"loop.precision": "fp16"}, "fp16"),
        ({"loop.compile": True}, "compiled"),
        ({"loop.channels_last": True}, "channels_last"),
    ],
)
def test_what_cannot_be_stacked_is_declined_with_its_reason(
    trial_config: TrialConfig, values: dict[str, Any], reason: str
) -> None:
    assert why_not(trial_config) is None
    assert reason in (why_not(with_values(trial_config, values)) or "")
