"""An experiment killed with SIGKILL, process group and all, at random moments; then run again to its end.

Nothing may be lost, nothing be there twice, and every number must be that of an undisturbed run to the last bit.
"""

import random
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from killed_jobs import kill_after_progress, run_to_the_end

from jobs import train
from storage.object_store import open_store
from storage.results_table import ResultsTable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

_ROOT = Path(__file__).parents[2]
_RATE_HZ = 4000
_KEYS = {
    "suggestions": ["number"],
    "trials": ["number"],
    "epochs": ["trial_id", "seed", "epoch"],
    "seeds": ["trial_id", "seed"],
    "predictions": ["trial_id", "seed", "part", "clip_id"],
}
_CLOCKS = {"ended_at", "epoch_seconds", "train_seconds"}
_NUM_EPOCHS = 2 * 2 * 3  # folds, seeds, epochs


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen half seconds of beeps and hisses."""
    root, generator = tmp_path_factory.mktemp("corpus"), np.random.default_rng(3)
    at_s = np.arange(_RATE_HZ // 2) / _RATE_HZ
    for number in range(8):
        beep = 0.3 * np.sin(2 * np.pi * (400 + 40 * number) * at_s) + generator.normal(0, 0.05, len(at_s))
        for label, wave in (("beep", beep), ("hiss", generator.normal(0, 0.1, len(at_s)))):
            (root / label).mkdir(exist_ok=True)
            soundfile.write(root / label / f"{number:02d}.wav", wave, _RATE_HZ)
    return root


def command(corpus: Path, folder: Path) -> list[str]:
    return [
        sys.executable,
        str(_ROOT / "jobs" / "train.py"),
        "data.source=folder",
        f"data.root={corpus}",
        f"storage.uri={folder}/store",
        f"report.folder={folder}/reports",
        f"log.folder={folder}/logs",
        f"features.sample_rate_hz={_RATE_HZ}",
        "features.window_s=0.5",
        "features.n_fft=256",
        "features.hop_samples=80",
        "features.num_mels=16",
        "folds.num_folds=2",
        "folds.validation_parts=2",
        "train.trial.model.width=4",
        "train.trial.batch_size=4",
        "train.epochs=3",
        "train.seeds=[1,2]",
        "cluster.num_cpus=2",
    ]


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    results = ResultsTable(open_store(f"{folder}/store"))
    tables = {name: results.read(name).to_pandas().sort_values(keys, ignore_index=True) for name, keys in _KEYS.items()}
    return {name: table.drop(columns=_CLOCKS, errors="ignore") for name, table in tables.items()}


def read_out_of_fold(folder: Path) -> pd.DataFrame:
    return pq.read_table(folder / "store" / "experiments" / "0001" / "out_of_fold.parquet").to_pandas()


def pooled_line(printed: str) -> str:
    found = re.search(r"out of fold, all test clips together: .*", printed)
    assert found
    return found[0]


@pytest.mark.usefixtures("ray_local")
def test_an_experiment_killed_twice_ends_as_the_undisturbed_one(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, ours = tmp_path / "undisturbed", tmp_path / "killed"
    whole.mkdir()
    ours.mkdir()
    assert train.main(command(corpus, whole)[2:]) == 0
    expected = pooled_line(capsys.readouterr().out)
    chance = random.Random()
    for num_rows in sorted(chance.sample(range(_NUM_EPOCHS + 1), 2)):
        delay_s = chance.uniform(0, 0.5)
        print(f"SIGKILL {delay_s:.2f} s after {num_rows} of {_NUM_EPOCHS} epochs")
        kill_after_progress(command(corpus, ours), f"{ours}/store", ours, num_rows=num_rows, delay_s=delay_s)
    printed = run_to_the_end(command(corpus, ours), ours)
    assert "experiment 0001, " in printed
    assert pooled_line(printed) == expected

    found, undisturbed = read_tables(ours), read_tables(whole)
    for name, keys in _KEYS.items():
        assert not found[name].duplicated(keys).any()
        pd.testing.assert_frame_equal(found[name], undisturbed[name])
    assert len(found["epochs"]) == _NUM_EPOCHS
    pd.testing.assert_frame_equal(read_out_of_fold(ours), read_out_of_fold(whole))
    store = open_store(f"{ours}/store")
    assert not list(store.list("checkpoints/"))
    assert {info.key for info in store.list("models/")} == {
        info.key for info in open_store(f"{whole}/store").list("models/")
    }
