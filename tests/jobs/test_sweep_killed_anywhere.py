"""A real sweep whose driver, training process and Ray head are killed at random moments, on a disk and on S3.

`MELSWEEP_KILLS` says how often each sweep is killed (benchmarks/kill_sweep.py does it 20 times), and
`MELSWEEP_KILL_SEED` at which moments.
"""

import os
import random
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import kill_sweep
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.object_store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(1500)]

_NUM_KILLS = int(os.environ.get("MELSWEEP_KILLS", "4"))
_SEED = os.environ.get("MELSWEEP_KILL_SEED", "0")
# Each store has one of the two, so that the slow tests stay short; the script has both on both.
_SCHEDULERS = {"local": "adaptive", "s3": "seed_epochs"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_dataset(tmp_path_factory.mktemp("recordings"), num_clips_per_class=5)


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_a_sweep_killed_at_random_ends_as_the_undisturbed_one(
    kind: str, recordings: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    scheduler = _SCHEDULERS[kind]
    words = kill_sweep.settings(scheduler, 1)
    calm = kill_sweep.Place(recordings=recordings, uri=str(tmp_path / "calm" / "store"), folder=tmp_path / "calm")
    expected = kill_sweep.undisturbed(words, calm)
    assert kill_sweep.faults_of(open_store(calm.uri), scheduler) == []

    place = kill_sweep.Place(
        recordings=recordings, uri=request.getfixturevalue(f"{kind}_uri"), folder=tmp_path / "killed"
    )
    chance = random.Random(f"{_SEED} {kind}")
    kills = kill_sweep.kill_again_and_again(words, place, chance, _NUM_KILLS, in_all=len(expected["epochs"]))
    assert len(kills) == _NUM_KILLS
    assert kill_sweep.faults_of(open_store(place.uri), scheduler) == []
    found = kill_sweep.read_tables(open_store(place.uri))
    assert kill_sweep.differences(found, expected) == []


def test_a_lost_row_and_another_number_are_differences() -> None:
    rows = {"epochs": pd.DataFrame({"trial_id": ["a", "b"], "seed_epoch": [1, 1], "objective": [0.5, 0.6]})}
    other = {"epochs": rows["epochs"].assign(objective=[0.5, 0.7])}
    assert kill_sweep.differences(rows, rows) == []
    assert len(kill_sweep.differences(other, rows)) == 1
    assert len(kill_sweep.differences({"epochs": rows["epochs"].head(1)}, rows)) == 1
