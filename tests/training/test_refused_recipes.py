"""Combinations in which one value would silently undo another are refused with what is allowed."""

from typing import Any

import pytest

from storage.errors import InvalidInput
from training import TrialConfig
from training.config import with_values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"input.scaling": "unit", "augment.gain_db": 3.0}, r"trial\.augment\.gain_db: got 3\.0; .*unit scaling"),
        ({"schedule.kind": "one_cycle", "schedule.warmup_epochs": 1}, r"trial\.schedule\.warmup_epochs: .*one_cycle"),
    ],
)
def test_a_value_without_effect_is_refused(trial_config: TrialConfig, values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        with_values(trial_config, values)


@pytest.mark.parametrize(
    "values",
    [
        {"input.scaling": "unit"},
        {"augment.gain_db": 3.0},
        {"schedule.kind": "one_cycle"},
        {"schedule.kind": "plateau", "schedule.warmup_epochs": 1},
    ],
)
def test_each_by_itself_is_not(trial_config: TrialConfig, values: dict[str, Any]) -> None:
    assert with_values(trial_config, values).trial_id != trial_config.trial_id
