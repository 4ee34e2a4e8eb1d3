"""jobs/train.py as a user runs it: from audio files to a numbered experiment, to a resume, and what it refuses."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs import report, train

RATE_HZ = 8000
SMALL = [
    f"features.sample_rate_hz={RATE_HZ}",
    "features.window_s=1.0",
    "features.n_fft=512",
    "features.hop_samples=400",
    "features.num_mels=16",
    "train.trial.model.width=4",
    "train.trial.batch_size=8",
    "train.epochs=2",
    "train.seeds=[1,2]",
    "folds.num_folds=2",
    "folds.validation_parts=3",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 beeps and hisses of one second, a folder per label."""
    root, generator = tmp_path_factory.mktemp("corpus"), np.random.default_rng(3)
    seconds = np.arange(RATE_HZ) / RATE_HZ
    for number in range(12):
        beep = 0.3 * np.sin(2 * np.pi * (600 + 40 * number) * seconds) + generator.normal(0, 0.01, RATE_HZ)
        for label, wave in (("beep", beep), ("hiss", generator.normal(0, 0.1, RATE_HZ))):
            (root / label).mkdir(exist_ok=True)
            soundfile.write(root / label / f"{number:02d}.wav", wave, RATE_HZ)
    return root


@pytest.fixture(scope="module")
def words(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("out")
    return [
        "data.source=folder",
        f"data.root={corpus}",
        f"storage.uri={folder}/store",
        f"report.folder={folder}/reports",
        f"log.folder={folder}/logs",
        *SMALL,
    ]


def _run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = train.main(words)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.usefixtures("ray_local")
class TestRuns:
    def test_files_become_a_numbered_experiment_with_scores_predictions_and_a_page(
        self, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, told, _ = _run(words, capsys)
        assert code == 0
        assert re.search(r"experiment 0001, experiment-[0-9a-f]{12}: cnn, 2 folds × 2 seeds × 2 epochs on cpu", told)
        assert "2 folds trained now, 0 found" in told
        assert re.search(r"mean\s+2\s+[\d.]+ ± [\d.]+ %", told)
        path = re.search(r"embeddings: (.*)", told)
        assert path
        rows = pq.read_table(path[1])
        assert sorted(rows["clip_id"].to_pylist()) == sorted(2 * sorted(set(rows["clip_id"].to_pylist())))
        assert rows.num_rows == 2 * 24
        scores = json.loads(Path(path[1]).with_name("scores.json").read_text())
        assert scores["seeds"] == [1, 2]
        assert 0 <= scores["scores"]["accuracy"]["mean"] <= 1
        page = re.search(r"report: (.*)", told)
        assert page
        assert "Scores by fold" in Path(page[1]).read_text()
        assert list(Path(page[1]).with_suffix("").glob("*.png"))
        assert list(Path(page[1]).parents[1].glob("logs/**/events.out.tfevents*"))

    def test_the_same_command_again_trains_nothing_and_has_the_same_number(
        self, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = _run(words, capsys)[1]
        code, told, _ = _run(words, capsys)
        assert code == 0
        assert "experiment 0001: 0 folds trained now, 2 found" in told
        assert first[first.index("Test scores") :] == told[told.index("Test scores") :]

    @pytest.mark.slow
    def test_another_value_is_another_experiment_and_the_literature_is_told(
        self, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        _run(words, capsys)
        extra = ["folds.protocol=literature", "folds.test_folds=[2]", "train.seeds=[1]", "train.epochs=1"]
        code, told, _ = _run([*words, *extra], capsys)
        assert code == 0
        assert "experiment 0002, " in told
        assert "these scores are too good by that choice" in told
        storage = [word for word in words if word.startswith(("storage.", "report."))]
        report.main(storage)  # of what began last
        assert "too good by that choice" in capsys.readouterr().out
        report.main([storage[0], "format=json"])
        assert [row["fold"] for row in json.loads(capsys.readouterr().out)] == [2]

    def test_training_that_fails_is_one_line_and_exit_code_1(
        self, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        extra = ["train.trial.optimizer.learning_rate=1e30", "train.seeds=[1]", "folds.test_folds=[1]"]
        code, told, _ = _run([*words, *extra], capsys)
        assert code == 1
        assert re.search(r"fold 1 failed: not_finite: .* after epoch 1", told)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("train.trial.optimizer.learning_rat=1", "Did you mean 'optimizer.learning_rate'"),
        ("train.architecture=cnm", "train.architecture: cnm"),
        ("train.trial.weights=/no/such.safetensors", "trial.weights: got '/no/such.safetensors'"),
        ("train.architecture=timm/resnet51", "train.architecture: timm/resnet51"),
        ("folds.test_folds=[3]", "folds.test_folds: got [3]; allowed: the folds [1, 2]"),
        ("folds.num_folds=13", "folds.num_folds: got 13; allowed: at most 12"),
        ("train.epoch=3", "train.epoch"),
        ("train.trial.loss.kind=hinge", "loss.kind"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    word: str, told: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data.source=folder", f"data.root={corpus}", f"storage.uri={tmp_path}/store", *SMALL, word]
    code, _, error = _run(words, capsys)
    assert code == 2
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert told in error
    assert not (tmp_path / "store").exists()
