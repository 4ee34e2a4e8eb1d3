"""What a job tells of itself where nobody reads it; tests/cluster/test_job_submit.py has what a head then shows."""

import json
import logging

import pytest

from cluster.job_metadata import tell_job


@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize("job_config", [None, "", "{}", '{"metadata": {"who": "me"}}'])
def test_what_is_no_job_tells_nothing(
    job_config: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if job_config is not None:
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", job_config)
    tell_job(sweep="s")
    assert caplog.records == []


@pytest.mark.usefixtures("ray_local")
def test_an_entry_that_is_not_there_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"metadata": {"job_submission_id": "a job that nobody submitted"}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(config))
    with caplog.at_level(logging.WARNING):
        tell_job(sweep="s")
    (record,) = caplog.records
    assert "does not tell of sweep" in record.getMessage()
