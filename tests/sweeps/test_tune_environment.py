"""Tune passes no keys on: a trial's runtime environment is in the logs of every node."""

import pytest
from ray.tune.execution.class_cache import _ActorClassCache

from sweeps.tune_environment import set_tune_up


class _Trainable:
    pass


def test_no_key_is_in_the_runtime_environment_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "a key")
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    set_tune_up()
    passed_on = _ActorClassCache().get(_Trainable)._default_options["runtime_env"]["env_vars"]
    assert passed_on["RAY_CHDIR_TO_TRIAL_DIR"] == "0"  # other variables are, or this would tell nothing
    assert "a key" not in passed_on.values()
