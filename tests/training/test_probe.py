"""A trial's cost, measured on toys: it is a trial's, it leaves nothing behind, and too little memory is told."""

from pathlib import Path
from typing import Any

import pytest
import torch
from trial_toys import Recorder, numbers, run

from storage.object_store import open_store
from training import TrialConfig, TrialData
from training.config import with_values
from training.probe import TrialProbe
from training.steps import OutOfMemory, Stepper


def test_steps_and_memory_of_a_trial_are_told(trial_config: TrialConfig, trial_data: TrialData) -> None:
    probe = TrialProbe(trial_config, trial_data)
    assert probe.steps_per_second(for_s=0.0) > 0
    assert probe.peak_bytes > 0
    assert probe.total_bytes == 0  # of a GPU


def test_a_trial_after_it_trains_to_the_same_numbers(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: Path
) -> None:
    def trained(folder: Path) -> list[tuple[float, ...]]:
        recorder = Recorder()
        run(with_values(trial_config, {"seeds": (1,), "epochs": 1}), trial_data, open_store(str(folder)), recorder)
        return [numbers(metrics) for *_, metrics in recorder.reported]

    before = trained(tmp_path / "before")
    state = torch.get_rng_state()
    TrialProbe(trial_config, trial_data).steps_per_second(for_s=0.0)
    assert torch.equal(torch.get_rng_state(), state)
    assert trained(tmp_path / "after") == before


@pytest.mark.parametrize("values", [{"loop.ema_decay": 0.9}, {"optimizer.accumulate": 2}, {"batch_size": 10_000}])
def test_every_recipe_can_be_measured(trial_config: TrialConfig, trial_data: TrialData, values: dict[str, Any]) -> None:
    assert TrialProbe(with_values(trial_config, values), trial_data).steps_per_second(for_s=0.0) > 0


class TestTooLittleMemory:
    @pytest.fixture
    def _full(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The device holds three clips of a batch at once, and no more."""
        gradients = Stepper._gradients

        def limited(stepper: Stepper, batches: Any) -> torch.Tensor:
            if stepper._config.batch_size / stepper.num_pieces > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return gradients(stepper, batches)

        monkeypatch.setattr(Stepper, "_gradients", limited)

    @pytest.mark.usefixtures("_full")
    def test_a_batch_that_would_be_computed_in_pieces_has_no_room(
        self, trial_config: TrialConfig, trial_data: TrialData
    ) -> None:
        with pytest.raises(OutOfMemory, match="pieces"):
            TrialProbe(trial_config, trial_data)
        TrialProbe(with_values(trial_config, {"batch_size": 3}), trial_data)

    def test_a_device_without_room_for_the_model_is_told_as_such(
        self, trial_config: TrialConfig, trial_data: TrialData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr("training.probe.SeedRun", full)
        with pytest.raises(OutOfMemory, match="a trial needs more memory"):
            TrialProbe(trial_config, trial_data)
