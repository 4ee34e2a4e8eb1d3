"""The main job with its confirmation and audit: what it says, what it refuses, and killed in the middle."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from killed_jobs import SMALL_SWEEP

from jobs import sweep
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.object_store import open_store
from storage.results_table import ResultsTable

_ROOT = Path(__file__).parents[2]
_KEYS = {
    "suggestions": ["sweep_id", "number"],
    "trials": ["sweep_id", "trial_id"],
    "epochs": ["sweep_id", "trial_id", "seed_epoch"],
    "seeds": ["sweep_id", "trial_id", "seed"],
    "predictions": ["sweep_id", "trial_id", "seed", "part", "clip_id"],
}
_CLOCKS = {"ended_at", "epoch_seconds", "train_seconds"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_dataset(tmp_path_factory.mktemp("recordings"), num_clips_per_class=5)


def words(recordings: Path, folder: Path) -> list[str]:
    return [
        f"data.root={recordings}",
        f"storage.uri={folder}/store",
        f"report.folder={folder}/reports",
        f"log.folder={folder}/logs",
        *SMALL_SWEEP,
        "sweep.confirm.seeds=[1,2,3]",
        "sweep.confirm.folds=true",
        "folds.policy=grouped",
        "folds.num_folds=2",
        "folds.validation_parts=2",
        "sweep.audit.share=1",
    ]


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (["folds.num_folds=3"], "folds.num_folds: got '3'; .*Say sweep.confirm.folds=true, with which it does"),
        (
            ["sweep.confirm.folds=true", "folds.protocol=literature"],
            "folds.protocol: got 'literature'; allowed: honest",
        ),
        (["sweep.confirm.folds=true", "folds.test_folds=[9]"], r"folds.test_folds: got \[9\]"),
        (["sweep.confirm.folds=true", "train.epochs=3"], "train.epochs"),
        (["sweep.confirm.best=-1"], "sweep.confirm.best"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_computed(
    extra: list[str], told: str, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep.main([f"data.root={recordings}", f"storage.uri={tmp_path}/store", *extra]) == 2
    error = capsys.readouterr().err
    assert re.search(told, error), error
    assert not (tmp_path / "store" / "features").exists()


def _run_to_the_end(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _kill_while(command: list[str], folder: Path, *, kind: str, num_epochs: int) -> None:
    """Kills the job's process group when the confirmation, or audit, has recorded so many epochs."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    store, deadline = open_store(f"{folder}/store"), time.monotonic() + 300
    while sum(f"-{kind}" in info.key for info in store.list("results/epochs/")) < num_epochs:
        assert process.poll() is None, "the job ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tables(folder: Path) -> dict[str, pd.DataFrame]:
    results = ResultsTable(open_store(f"{folder}/store"))
    return {name: results.read(name).to_pandas().sort_values(keys, ignore_index=True) for name, keys in _KEYS.items()}


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_job_killed_in_its_confirmation_and_its_audit_ends_as_an_undisturbed_one(
    recordings: Path, tmp_path: Path
) -> None:
    undisturbed, ours = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, ours):
        folder.mkdir()
    job = [sys.executable, str(_ROOT / "jobs" / "sweep.py")]
    printed = _run_to_the_end([*job, *words(recordings, undisturbed)], undisturbed)
    assert "configurations × 3 seeds × 2 folds" in printed
    assert "stopped trials are run to their end" in printed
    assert "audited stops would have been the best of their architecture" in printed

    command = [*job, *words(recordings, ours)]
    for num_epochs in (1, 17):
        _kill_while(command, ours, kind="confirmation", num_epochs=num_epochs)
    _kill_while(command, ours, kind="audit", num_epochs=2)
    _run_to_the_end(command, ours)
    expected, found = _tables(undisturbed), _tables(ours)
    for name, keys in _KEYS.items():
        assert not found[name].duplicated(keys).any()
        columns = [column for column in found[name].columns if column not in _CLOCKS]
        pd.testing.assert_frame_equal(found[name][columns], expected[name][columns])
    sweeps = ResultsTable(open_store(f"{ours}/store")).read("sweeps").to_pandas()
    assert sorted(sweeps["kind"]) == ["audit", "confirmation", "sweep"]

    again = _run_to_the_end(command, ours)
    assert "confirmation: 0 trials run now" in again
    assert "audit: 0 trials run now" in again
