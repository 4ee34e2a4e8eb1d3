"""The main job killed with SIGKILL, process group and all, at random moments; then run again to its end.

At concurrency 1 the results must be those of an undisturbed run to the last bit: the same trials, none twice, none
lost.
"""

import random
import sys
from pathlib import Path

import pandas as pd
import pytest
from killed_jobs import SMALL_SWEEP, kill_after_progress, run_to_the_end

from pipelines.sources.synthetic import write_synthetic_dataset
from storage.object_store import open_store
from storage.results_table import ResultsTable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

_ROOT = Path(__file__).parents[2]
_KEYS = {
    "suggestions": ["number"],
    "trials": ["number"],
    "epochs": ["trial_id", "seed_epoch"],
    "seeds": ["trial_id", "seed"],
    "predictions": ["trial_id", "seed", "part", "clip_id"],
}
_CLOCKS = {"ended_at", "epoch_seconds", "train_seconds"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_dataset(tmp_path_factory.mktemp("recordings"), num_clips_per_class=5)


def command(recordings: Path, uri: str, folder: Path) -> list[str]:
    return [
        sys.executable,
        str(_ROOT / "jobs" / "sweep.py"),
        f"data.root={recordings}",
        f"storage.uri={uri}",
        f"report.folder={folder}",
        f"log.folder={folder}/logs",
        *SMALL_SWEEP,
        "sweep.audit.share=0",  # what follows a search is killed in test_follow_ups.py
    ]


def read_tables(uri: str) -> dict[str, pd.DataFrame]:
    results = ResultsTable(open_store(uri))
    return {name: results.read(name).to_pandas().sort_values(keys, ignore_index=True) for name, keys in _KEYS.items()}


@pytest.fixture(scope="module")
def undisturbed(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("undisturbed")
    run_to_the_end(command(recordings, str(folder / "store"), folder), folder)
    return read_tables(str(folder / "store"))


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_a_sweep_killed_three_times_ends_as_the_undisturbed_one(
    kind: str,
    recordings: Path,
    undisturbed: dict[str, pd.DataFrame],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    uri = request.getfixturevalue(f"{kind}_uri")
    words = command(recordings, uri, tmp_path)
    chance = random.Random()
    in_all = len(undisturbed["epochs"])
    moments = sorted(chance.sample(range(in_all), 3))
    for num_rows in moments:
        delay_s = chance.uniform(0, 0.5)
        print(f"SIGKILL {delay_s:.2f} s after {num_rows} of {in_all} epochs")
        kill_after_progress(words, uri, tmp_path, num_rows=num_rows, delay_s=delay_s)
    printed = run_to_the_end(words, tmp_path)
    assert "Leaderboard" in printed

    ours = read_tables(uri)
    for name, keys in _KEYS.items():
        assert not ours[name].duplicated(keys).any()
        columns = [column for column in ours[name].columns if column not in _CLOCKS]
        pd.testing.assert_frame_equal(ours[name][columns], undisturbed[name][columns])
    assert len(ours["trials"]) == 4

    again = run_to_the_end(words, tmp_path)
    assert "0 trials run now, 4 found" in again
    assert "0 computed now" in again
