"""Infinity passed every rule written as `above 0` and ended in a traceback of the hash, sometimes after minutes."""

import pytest

from jobs.command_line import parse_settings
from jobs.settings import JobSettings
from models import create_model
from storage.errors import InvalidInput


@pytest.mark.parametrize(
    "key",
    [
        *(f"features.{name}" for name in ("window_s", "window_hop_s", "min_duration_s", "power", "amin", "top_db")),
        "features.db_reference",
        "sweep.cpus_per_trial",
        "sweep.gpus_per_trial",
    ],
)
@pytest.mark.parametrize("value", [".inf", "-.inf"])
def test_an_infinite_setting_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{key.replace('.', '[.]')}: got "):
        parse_settings(JobSettings, [f"{key}={value}"])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_model_option_that_is_no_finite_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"option 'dropout' is .*a finite number"):
        create_model("cnn", num_classes=2, seed=0, options={"dropout": value})
