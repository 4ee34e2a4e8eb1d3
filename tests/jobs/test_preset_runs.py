"""The training presets as a user runs them: from audio files in each corpus's own layout to a row of results, its
predictions and its page. The recordings are few and short, and the weights random; everything else is the preset's.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from safetensors.torch import save_file

from jobs import sweep, train
from models import create_model
from storage.object_store import open_store
from storage.results_table import ResultsTable


def _tone(label: int, number: int, *, duration_s: float, rate_hz: int) -> np.ndarray:
    """A tone of a pitch of the label's own, in noise."""
    generator = np.random.default_rng([label, number])
    seconds = np.arange(round(duration_s * rate_hz)) / rate_hz
    return 0.3 * np.sin(2 * np.pi * (300 + 900 * label + 20 * number) * seconds) + generator.normal(
        0, 0.02, len(seconds)
    )


def _write(path: Path, label: int, number: int, *, duration_s: float, rate_hz: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, _tone(label, number, duration_s=duration_s, rate_hz=rate_hz), rate_hz)


def _esc50(root: Path) -> None:
    """Two classes with two clips in each of the five folds."""
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for number in range(10):
        for label, category in enumerate(("dog", "rooster")):
            fold, source = number % 5 + 1, 100 * label + number
            name = f"{fold}-{source}-A-{label}.wav"
            rows.append(f"{name},{fold},{label},{category},True,{source},A")
            _write(root / "audio" / name, label, number, duration_s=1.0, rate_hz=44_100)
    (root / "meta").mkdir()
    (root / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")


def _birdclef(root: Path) -> None:
    """Five recordings of each of three species, some with another one behind."""
    species = ("crow", "robin", "wren")
    rows = ["primary_label,secondary_labels,filename"]
    for label, name in enumerate(species):
        for number in range(5):
            behind = [species[(label + 1) % 3]] if number % 2 else []
            rows.append(f'"{name}","{behind}",{name}/XC{number}.ogg')
            _write(root / "train_audio" / name / f"XC{number}.ogg", label, number, duration_s=6.0, rate_hz=32_000)
    (root / "train.csv").write_text("\n".join(rows) + "\n")


def _emodb(root: Path) -> None:
    """Six speakers, each happy and sad in two texts."""
    for speaker in range(6):
        for label, emotion in enumerate("FT"):
            for text in (1, 2):
                name = f"{speaker:02d}a{text:02d}{emotion}a.wav"
                _write(root / "wav" / name, label, 2 * speaker + text, duration_s=1.0, rate_hz=16_000)


@dataclass(frozen=True)
class Run:
    """A preset on its tiny corpus.

    Attributes:
        in_channels: of the weights that stand in for the published ones.
        words: what is other than in the preset: sizes alone.
    """

    make_corpus: Callable[[Path], None]
    architecture: str
    in_channels: int
    words: tuple[str, ...]
    num_test_clips: int
    labels: tuple[str, ...]


_ONE_EPOCH = ("train.epochs=1", "train.seeds=[42]")
RUNS = {
    "s1": Run(_esc50, "timm/resnet50.tv_in1k", 3, _ONE_EPOCH, 4, ("dog", "rooster")),
    # Two epochs, of which the second is an average, and one fold of five.
    "s2": Run(_birdclef, "efficientnet_b0", 3, ("--smoke",), 3, ("crow", "robin", "wren")),
    "s5_esc50": Run(_esc50, "resnet50", 3, _ONE_EPOCH, 4, ("dog", "rooster")),
    "s5_emodb": Run(_emodb, "resnet50", 3, _ONE_EPOCH, 4, ("happiness", "sadness")),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize("preset", RUNS)
def test_a_training_preset_goes_from_audio_to_a_result_with_predictions_and_a_page(
    preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RUNS[preset]
    (tmp_path / "corpus").mkdir()
    run.make_corpus(tmp_path / "corpus")
    published = create_model(run.architecture, num_classes=7, in_channels=run.in_channels, seed=5)
    save_file(published.state_dict(), tmp_path / "published.safetensors")
    words = [f"data.root={tmp_path}/corpus", f"storage.uri={tmp_path}/store", f"report.folder={tmp_path}/reports"]
    words += [f"log.folder={tmp_path}/logs", f"train.trial.weights={tmp_path}/published.safetensors"]
    code = train.main([f"preset={preset}", *words, *run.words])
    told = capsys.readouterr().out
    assert code == 0, told
    results = ResultsTable(open_store(f"{tmp_path}/store"))
    (sweep,) = results.read("sweeps").to_pylist()
    assert (sweep["labels"], sweep["protocol"]) == (list(run.labels), "literature")
    (row,) = results.read("seeds").to_pylist()
    assert (row["architecture"], row["seed"]) == (run.architecture, 42)
    assert 0 <= row["test_score"] <= 1
    assert any("published.safetensors" in event for event in row["events"])
    assert any("trained on embeddings" in event for event in row["events"]) == (preset == "s1")
    predicted = results.read("predictions").to_pylist()
    of_test = [prediction for prediction in predicted if prediction["part"] == "test"]
    assert len({prediction["clip_id"] for prediction in of_test}) == len(of_test) == run.num_test_clips
    assert {len(prediction["probabilities"]) for prediction in of_test} == {len(run.labels)}
    path = re.search(r"predictions and embeddings: (.*)", told)
    assert path
    out_of_fold = pq.read_table(path[1])
    assert sorted(out_of_fold["clip_id"].to_pylist()) == sorted(prediction["clip_id"] for prediction in of_test)
    page = re.search(r"report: (.*\.html)", told)
    assert page
    assert sweep["sweep_id"] in Path(page[1]).read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_the_search_of_s1_begins_with_its_recipe_and_trains_heads_on_embeddings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "corpus").mkdir()
    _esc50(tmp_path / "corpus")
    # A small network in the place of ResNet-50.
    published = create_model("timm/test_resnet", num_classes=7, in_channels=3, seed=5)
    save_file(published.state_dict(), tmp_path / "published.safetensors")
    words = [f"data.root={tmp_path}/corpus", f"storage.uri={tmp_path}/store", f"report.folder={tmp_path}/reports"]
    words += ["sweep.architectures=[timm/test_resnet]", f"sweep.trial.weights={tmp_path}/published.safetensors"]
    code = sweep.main(["preset=s1", "--smoke", *words])
    told = capsys.readouterr().out
    assert code == 0, told
    results = ResultsTable(open_store(f"{tmp_path}/store"))
    first, second = sorted(results.read("suggestions").to_pylist(), key=lambda row: row["number"])
    recipe = {"optimizer.learning_rate": 0.01, "optimizer.weight_decay": 0.01}
    recipe |= {"model.head": "mlp", "model.head_hidden": 512, "model.dropout": 0.5}  # type: ignore[dict-item]
    assert json.loads(first["parameters"]) == recipe
    assert json.loads(second["parameters"]).keys() == recipe.keys()
    seeds = results.read("seeds").to_pylist()
    assert {seed["trial_id"] for seed in seeds} >= {first["trial_id"]}
    assert all("trained on embeddings" in seed["events"][0] for seed in seeds)


def test_every_preset_that_trains_by_itself_is_run_here() -> None:
    folder = Path(__file__).parents[2] / "search_spaces" / "presets"
    texts = {path.stem: path.read_text() for path in folder.glob("s[0-9]*.yaml")}
    assert {name for name, text in texts.items() if "\nfeatures:" in text and "\ntrain:" in text} == RUNS.keys()
