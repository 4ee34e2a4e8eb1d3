"""A trial's data on its device: on the CPU the features of a node are there once, however many processes train."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trial_toys import Recorder, numbers, run

from storage.object_store import open_store
from storage.split import PARTS
from training import TrialConfig, TrialData
from training.config import with_values
from training.inputs import device_data


def with_arrays(data: TrialData, *, writeable: bool, dtype: Any = np.float16) -> TrialData:
    """As they come out of Ray's object store, or as they are loaded."""
    parts = {}
    for name, part in data.parts.items():
        log_mel = part.log_mel.astype(dtype)
        log_mel.setflags(write=writeable)
        parts[name] = dataclasses.replace(part, log_mel=log_mel)
    return dataclasses.replace(data, parts=parts)


@pytest.mark.parametrize("writeable", [True, False])
def test_features_are_not_copied_and_nobody_is_warned(
    trial_config: TrialConfig, trial_data: TrialData, writeable: bool
) -> None:
    data = with_arrays(trial_data, writeable=writeable)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        on_device = device_data(data, trial_config, torch.device("cpu"))
    for part in PARTS:
        address = data.parts[part].log_mel.__array_interface__["data"][0]
        assert on_device.parts[part].log_mel.data_ptr() == address


@pytest.mark.parametrize("scaling", ["standard", "unit"])
def test_a_trial_on_shared_float32_features_writes_to_none_and_has_the_same_numbers(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: Path, scaling: str
) -> None:
    """Of float32 a batch that is not disturbed is no copy by itself."""
    config = with_values(trial_config, {"seeds": (1,), "epochs": 1, "input.scaling": scaling})
    config = with_values(config, {"augment.gain_db": 3.0}) if scaling == "standard" else config
    found = []
    for writeable in (True, False):
        data = with_arrays(trial_data, writeable=writeable, dtype=np.float32)
        before = {name: part.log_mel.copy() for name, part in data.parts.items()}
        recorder = Recorder()
        run(config, data, open_store(str(tmp_path / str(writeable))), recorder)
        assert all(np.array_equal(data.parts[name].log_mel, values) for name, values in before.items())
        found.append([numbers(metrics) for *_, metrics in recorder.reported])
    assert found[0] == found[1]
