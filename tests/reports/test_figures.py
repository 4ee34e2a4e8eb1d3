"""The PNG files of a sweep: which there are, that something is drawn, and that labels are text."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.mathtext import MathTextParser
from numpy.typing import NDArray
from PIL import Image

from jobs import report
from reports.figures import draw_figures
from storage.schemas import TABLES

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep

NewSweep = Callable[..., "InventedSweep"]


def _pixels(png: bytes) -> NDArray[np.uint8]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _share_of(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> float:
    return float((np.abs(pixels.astype(int) - colour).max(axis=2) < 12).mean())


def test_each_architecture_has_curves_and_the_best_configuration_a_matrix(invented: "InventedSweep") -> None:
    assert draw_figures(invented.load()) == {}
    invented.finished_trial("t0", number=0)
    invented.finished_trial("t1", number=1, architecture="timm/resnet10t")
    drawn = draw_figures(invented.load())
    assert len(drawn) == 3
    assert {"confusion-matrix.png", "learning-curves-cnn.png"} < set(drawn)
    assert not any("/" in name for name in drawn)
    for name, png in drawn.items():
        height, width, _ = _pixels(png).shape
        assert 300 < height < 1200
        assert (width > 1200) == name.startswith("learning-curves")


def test_curves_are_drawn_in_both_colours(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    pixels = _pixels(draw_figures(invented.load())["learning-curves-cnn.png"])
    left, right = np.array_split(pixels, 2, axis=1)
    blue, orange = (0, 114, 178), (213, 94, 0)
    assert _share_of(left, blue) > 0.002
    assert _share_of(left, orange) > 0.002
    assert _share_of(right, blue) > 0.002
    assert _share_of(right, orange) == 0


def test_a_matrix_is_dark_where_the_clips_are(new_sweep: NewSweep) -> None:
    dark = (8, 48, 107)
    shares = {}
    for name, confusion in (("right", [[9, 0], [0, 9]]), ("spread", [[5, 4], [4, 5]])):
        sweep = new_sweep(labels=("a", "b"), sweep_id=name)
        sweep.finished_trial(f"{name}0", number=0, test_confusion=confusion, test_recall=[0.5, 0.5])
        shares[name] = _share_of(_pixels(draw_figures(sweep.load())["confusion-matrix.png"]), dark)
    assert shares["right"] > 5 * shares["spread"]


def test_a_label_without_clips_and_fifty_labels_are_drawn(new_sweep: NewSweep) -> None:
    sweep = new_sweep(labels=("a", "b"), sweep_id="empty-row")
    sweep.finished_trial("e0", number=0, test_confusion=[[3, 1], [0, 0]], test_recall=[0.75, float("nan")])
    assert _pixels(draw_figures(sweep.load())["confusion-matrix.png"]).std() > 10
    sweep = new_sweep(labels=[f"label {index}" for index in range(50)], sweep_id="fifty")
    sweep.finished_trial("f0", number=0)
    height, width, _ = _pixels(draw_figures(sweep.load())["confusion-matrix.png"]).shape
    assert height > 50 * 28  # pixels a label: its name stays readable
    assert width > height


@pytest.mark.parametrize("several", [False, True])
def test_labels_and_architectures_are_text_however_they_look(new_sweep: NewSweep, *, several: bool) -> None:
    hostile = ("$x$ <b>", r"$\frac{1}{", "鳥\n\x00", "long " * 40, "_^{")
    sweep = new_sweep(labels=hostile)
    if several:
        sweep.several_labels()
    else:
        sweep.finished_trial("t0", number=0, architecture=r"$\alpha{<b>")
    pixels = [_pixels(png) for png in draw_figures(sweep.load()).values()]
    assert len(pixels) == (3 if several else 2)
    assert all(image.shape[1] < 1700 for image in pixels)


@pytest.mark.parametrize("several", [False, True])
def test_a_dollar_sign_is_never_taken_for_mathematics(
    new_sweep: NewSweep, monkeypatch: pytest.MonkeyPatch, *, several: bool
) -> None:
    def refuse(*words: object, **values: object) -> None:
        raise AssertionError(words)

    monkeypatch.setattr(MathTextParser, "parse", refuse)
    sweep = new_sweep(labels=("$x$", "$y$ $z$"))
    if several:
        sweep.several_labels()
    else:
        sweep.finished_trial("t0", number=0, architecture="$x$")
    assert len(draw_figures(sweep.load())) == (3 if several else 2)


def test_where_a_clip_may_have_several_labels_each_has_bars_and_there_is_no_matrix(new_sweep: NewSweep) -> None:
    sweep = new_sweep(labels=("wren", "robin", "owl"))
    sweep.several_labels()
    drawn = draw_figures(sweep.load())
    assert set(drawn) == {"learning-curves-cnn.png", "label-scores.png", "reliability.png"}
    pixels = _pixels(drawn["label-scores.png"])
    assert pixels.std() > 20


@pytest.mark.skipif("fold" not in TABLES["suggestions"].names, reason="no experiments over folds yet")
def test_all_folds_of_an_experiment_are_in_one_figure(new_sweep: NewSweep) -> None:
    sweep = new_sweep()
    for fold in (1, 2):
        sweep.suggest(f"t{fold}", number=fold, seeds=(1,), fold=fold)
        sweep.train(f"t{fold}", 1, (0.2, 0.4 * fold))
        sweep.complete_seed(f"t{fold}", 1)
    assert set(draw_figures(sweep.load())) == {"learning-curves-cnn.png", "confusion-matrix.png"}


def test_the_report_writes_them_beside_the_page_and_into_the_store(invented: "InventedSweep", tmp_path: Path) -> None:
    invented.finished_trial("t0", number=0)
    words = [f"storage.uri={tmp_path}/store", f"report.folder={tmp_path}/reports"]
    assert report.main(words) == 0
    for folder in (tmp_path / "reports", tmp_path / "store" / "reports"):
        assert (folder / "sweep-1.html").exists()
        assert (folder / "sweep-1" / "confusion-matrix.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / "sweep-1" / "learning-curves-cnn.png").exists()
