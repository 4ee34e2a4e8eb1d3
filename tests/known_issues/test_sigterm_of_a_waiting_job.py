"""A sweep stopped by SIGTERM ended with 1, as if trials had been given up: Ray's core turns the exit into its own."""

import os
import signal

import pytest

from jobs.console import run_job


def test_sigterm_ends_a_job_with_143_whatever_code_the_exit_gets(capsys: pytest.CaptureFixture[str]) -> None:
    def waits_in_rays_core(words: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit:
            raise SystemExit(1) from None

    assert run_job(waits_in_rays_core, [], usage="") == 143
    assert capsys.readouterr().err == "stopped by SIGTERM; the same command goes on from here\n"


def test_an_exit_of_the_job_itself_is_left_alone() -> None:
    def gives_up(words: object) -> None:
        raise SystemExit(5)

    with pytest.raises(SystemExit, match="5"):
        run_job(gives_up, [], usage="")
