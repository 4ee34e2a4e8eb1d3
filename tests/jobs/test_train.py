"""jobs/train.py as a user runs it: from audio files to a numbered experiment, to a resume, and what it refuses."""

import contextlib
import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs import report, train
from sweeps import ExperimentPlan
from sweeps.loggers import RunInfo

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
        assert "all test clips together (protocol literature: too good" in told
        storage = [word for word in words if word.startswith(("storage.", "report."))]
        report.main(storage)  # of what began last
        assert "too good by that choice" in capsys.readouterr().out
        report.main([storage[0], "format=json"])
        assert [row["fold"] for row in json.loads(capsys.readouterr().out)] == [2]

    def test_training_that_fails_is_one_line_exit_code_1_and_told_to_the_logs(
        self, words: list[str], capsys: pytest.CaptureFixture[str], logs: "Logs"
    ) -> None:
        extra = ["train.trial.optimizer.learning_rate=1e30", "train.seeds=[1]", "folds.test_folds=[1]"]
        code, told, _ = _run([*words, *extra], capsys)
        assert code == 1
        assert re.search(r"fold 1 failed: not_finite: .* after epoch 1", told)
        assert logs.ends == ["failed"]

    @pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), None)])
    def test_a_run_that_is_stopped_is_told_to_the_logs_as_stopped(
        self,
        error: BaseException,
        code: int | None,
        words: list[str],
        capsys: pytest.CaptureFixture[str],
        logs: "Logs",
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def stop(*given: Any, **named: Any) -> None:
            raise error

        monkeypatch.setattr("jobs.train.run_experiment", stop)
        with contextlib.suppress(SystemExit):
            assert _run(words, capsys)[0] == code
        assert logs.ends == ["stopped"]

    def test_the_progress_of_a_resumed_experiment_reaches_its_total(
        self, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        _run(words, capsys)
        assert "train, seed-epochs 8/8" in _run(words, capsys)[1]

    def test_more_cores_than_a_node_has_are_refused_before_anything_is_featurized(
        self, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        extra = [f"storage.uri={tmp_path}/store", "train.cpus_per_trial=99"]
        code, _, error = _run([*words, *extra], capsys)
        assert code == 2
        assert "train.cpus_per_trial: got 99.0; allowed: at most 2" in error
        assert not list((tmp_path / "store").glob("*/*"))

    def test_clips_in_quarantine_are_part_of_what_the_experiment_is(
        self, words: list[str], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(corpus, tmp_path / "corpus")
        (tmp_path / "corpus" / "hiss" / "99.wav").write_bytes(b"no sound at all")
        plans: list[ExperimentPlan] = []

        def keep(plan: ExperimentPlan, *given: Any, **named: Any) -> None:
            plans.append(plan)
            raise KeyboardInterrupt

        monkeypatch.setattr("jobs.train.run_experiment", keep)
        train.main([*words, f"data.root={tmp_path}/corpus", f"storage.uri={tmp_path}/store"])
        assert plans[0].quarantine_hash
        assert dataclasses.replace(plans[0], quarantine_hash="").experiment_id != plans[0].experiment_id


class Logs:
    """A `RunLogger` that keeps how runs end."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def start(self, run: RunInfo) -> None:
        pass

    def epoch(self, **told: Any) -> None:
        pass

    def seed(self, **told: Any) -> None:
        pass

    def end(self, state: str) -> None:
        self.ends.append(state)


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    logs = Logs()
    monkeypatch.setattr("jobs.train.open_logger", lambda settings, say: logs)
    return logs


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("train.trial.optimizer.learning_rat=1", "Did you mean 'optimizer.learning_rate'"),
        ("train.architecture=cnm", "train.architecture: got 'cnm'"),
        ("train.trial.weights=/no/such.safetensors", "trial.weights: got '/no/such.safetensors'"),
        ("train.architecture=timm/resnet51", "train.architecture: got 'timm/resnet51'"),
        ("folds.test_folds=[3]", "folds.test_folds: got [3]; allowed: the folds [1, 2]"),
        ("folds.num_folds=13", "folds.num_folds: got 13; allowed: at most 12"),
        ("train.epoch=3", "train.epoch"),
        ("train.trial.loss.kind=hinge", "loss.kind"),
        ("train.trial.weights=hub", "no published weights"),
        ("log.kinds=[wandb]", "log.kinds: got 'wandb'; allowed: logs whose package is installed"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    word: str,
    told: str,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as where its extra is not installed
    monkeypatch.delitem(sys.modules, "sweeps.loggers.wandb_log", raising=False)
    words = ["data.source=folder", f"data.root={corpus}", f"storage.uri={tmp_path}/store", *SMALL, word]
    code, _, error = _run(words, capsys)
    assert code == 2
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert told in error
    assert not (tmp_path / "store").exists()
