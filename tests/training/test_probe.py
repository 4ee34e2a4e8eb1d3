"""A trial's cost, measured on toys: it is a trial's, it leaves nothing behind, and too little memory is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from trial_toys import Recorder, numbers, run

from storage.object_store import open_store
from training import TrialConfig, TrialData
from training.config import with_values
from training.data import PartData
from training.memory import peak_bytes
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
        with pytest.raises(OutOfMemory, match="a trial has no room on cpu"):
            TrialProbe(trial_config, trial_data)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
class TestOnAGPU:
    @pytest.fixture
    def config(self, trial_config: TrialConfig) -> TrialConfig:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return with_values(trial_config, {"device": "cuda"})

    def test_the_peak_counts_the_context_and_this_process_s_copy_of_the_features(
        self, config: TrialConfig, trial_data: TrialData
    ) -> None:
        torch.zeros(1, device="cuda")
        context = peak_bytes(torch.device("cuda"))
        many = [row % len(trial_data.parts["train"].clip_ids) for row in range(200_000)]
        train = trial_data.parts["train"]
        large = PartData(
            log_mel=train.log_mel[many],
            has_label=train.has_label[many],
            first_label=train.first_label[many],
            clip_ids=tuple(train.clip_ids[row] for row in many),
            groups=tuple(train.groups[row] for row in many),
        )
        probe = TrialProbe(config, replace(trial_data, parts={**trial_data.parts, "train": large}))
        assert context > 50 * 2**20
        assert probe.peak_bytes >= context + large.log_mel.nbytes
        assert probe.peak_bytes < probe.total_bytes == torch.cuda.mem_get_info()[1]

    def test_memory_follows_the_batch_size(self, config: TrialConfig, large_trial_data: TrialData) -> None:
        peaks = []
        for batch_size in (2, 14):
            values = {"architecture": "alexnet", "model": {"hidden_features": 16}, "batch_size": batch_size}
            TrialProbe(TrialConfig.from_dict({**config.to_dict(), **values}), large_trial_data)
            peaks.append(torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()
        assert peaks[1] > peaks[0]

    def test_what_does_not_fit_is_told(self, config: TrialConfig, trial_data: TrialData) -> None:
        total = torch.cuda.mem_get_info()[1]
        held = torch.empty(torch.cuda.mem_get_info()[0] - 2**20, dtype=torch.uint8, device="cuda")
        assert held.numel() < total
        with pytest.raises(OutOfMemory):
            TrialProbe(with_values(config, {"model.width": 512}), trial_data)
