"""Several sweeps on one page: side by side, tested where clips are the same, escaped like everything else."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sample_sweep
from sample_sweep import SampleSweep

from reports import SweepResults, compared_pairs, load_sweep, render_comparison
from reports.sweep_comparison import differing
from tests.reports.test_page import HOSTILE, OWN_TAGS, PageReader

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep


@pytest.fixture
def page(tmp_path: Path) -> PageReader:
    """A is a sweep over two architectures, B one of more trials over one of them, on the same clips."""
    root = tmp_path / "store"
    samples = [
        SampleSweep(root=root, sweep_id="first", architectures=("cnn", "alexnet"), num_trials=5, num_clips=40),
        SampleSweep(root=root, sweep_id="second", architectures=("cnn",), num_trials=6, num_clips=40, seeds=(42, 7)),
    ]
    for sample in samples:
        sample.write()
    return PageReader(render_comparison([load_sweep(sample.results, sample.sweep_id) for sample in samples]))


def test_sweeps_stand_side_by_side_and_are_tested_on_the_seeds_in_common(page: PageReader) -> None:
    text = page.text
    assert "2 sweeps: same data set, features, split." in text
    assert "A: test accuracy" in text
    assert "B: test accuracy" in text
    assert "A: cnn #" in text
    assert "B: cnn #" in text
    (matrix,) = [figure for figure in page.figures if figure["data"][0]["type"] == "heatmap"]
    assert len(matrix["data"][0]["z"]) == 3


def test_only_settings_that_differ_are_told(page: PageReader) -> None:
    differ = page.text.partition("Settings that differ")[2].partition("Versions that differ")
    assert "sweep.num_trials" in differ[0]
    assert "sweep.epochs" not in differ[0]
    assert "None: they are the same in all." in differ[2]
    found = differing([{"a": {"b": 1, "c": []}, "d": "x"}, {"a": {"b": 2, "c": []}, "e": {}}])
    assert found == {"a.b": ["1", "2"], "d": ['"x"', "–"], "e": ["–", "{}"]}


def test_sweeps_on_other_clips_are_shown_and_not_tested(tmp_path: Path) -> None:
    root = tmp_path / "store"
    first = SampleSweep(root=root, sweep_id="a", architectures=("cnn",), num_trials=1, num_clips=20)
    second = SampleSweep(root=root, sweep_id="b", architectures=("cnn",), num_trials=1, num_clips=30)
    for sample in (first, second):
        sample.write()
    text = PageReader(render_comparison([load_sweep(first.results, name) for name in ("a", "b")])).text
    assert "Left out: 1 configuration" in text
    assert "10 clips that only one of them was tested on" in text


def two_sweeps(tmp_path: Path) -> tuple[SampleSweep, SampleSweep]:
    samples = [
        SampleSweep(root=tmp_path / "store", sweep_id=name, architectures=("cnn",), num_trials=1, num_clips=20)
        for name in ("a", "b")
    ]
    for sample in samples:
        sample.write()
    return samples[0], samples[1]


def pairs_text(sweeps: Sequence[SweepResults]) -> str:
    text = PageReader(render_comparison(sweeps)).text
    return text[text.index("Is one better") : text.index("Leaderboards side by side")]


def test_the_same_clips_with_other_labels_are_not_tested(tmp_path: Path) -> None:
    sweeps = [load_sweep(one.results, one.sweep_id) for one in two_sweeps(tmp_path)]
    assert "Left out" not in pairs_text(sweeps)
    sweeps[1].sweep["labels"] = [f"music {number}" for number in range(10)]
    assert "its labels are others than those of a sweep before it" in pairs_text(sweeps)


def test_the_same_clips_with_another_truth_are_not_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = two_sweeps(tmp_path)
    sweeps = [load_sweep(one.results, one.sweep_id) for one in (first, second)]
    rows = sweeps[1].read_predictions(["t0"])
    changed = rows["clip_id"] == rows["clip_id"].iloc[0]
    rows.loc[changed, "label"] = (rows["label"].iloc[0] + 1) % 10
    rows["labels"] = [[label] for label in rows["label"]]
    read = SweepResults.read_predictions
    monkeypatch.setattr(
        SweepResults, "read_predictions", lambda self, ids: rows if self is sweeps[1] else read(self, ids)
    )
    assert "1 of its clips have another label than in a sweep before it" in pairs_text(sweeps)


def test_other_features_are_compared_and_told(tmp_path: Path) -> None:
    sweeps = [load_sweep(one.results, one.sweep_id) for one in two_sweeps(tmp_path)]
    assert "differ in features" not in pairs_text(sweeps)
    sweeps[1].sweep["fingerprint"] = "e" * 16
    told = pairs_text(sweeps)
    assert "The sweeps differ in features" in told
    assert "Left out" not in told


def test_where_not_all_can_be_tested_those_of_both_sweeps_come_first_and_the_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"net{number}" for number in range(9)]
    for number, name in enumerate(names):
        monkeypatch.setitem(sample_sweep._SKILL, name, 0.9 - 0.05 * number)
        monkeypatch.setitem(sample_sweep._SECONDS, name, 3.0)
    samples = [
        SampleSweep(
            root=tmp_path / "store", sweep_id=letter, architectures=of_it, num_trials=1, num_clips=12, seeds=(42,)
        )
        for letter, of_it in (("a", names[:8]), ("b", names[5:]))
    ]
    for sample in samples:
        sample.write()
    sweeps = [load_sweep(sample.results, sample.sweep_id) for sample in samples]
    monkeypatch.setattr(compared_pairs, "MOST_IN_PAIRS", 8)
    told = pairs_text(sweeps)
    tested = told[: told.index("Left out")]
    assert "Left out: 4 configurations" in told
    for name in names[5:8]:
        assert f"A: {name} #" in tested
        assert f"B: {name} #" in tested
    assert "B: net8" in tested
    assert "A: net0" in tested
    assert "A: net1 #1 default: no more than" in told


def test_names_from_data_stay_text(new_sweep: "Callable[..., InventedSweep]") -> None:
    settings = [json.dumps({name: number}) for number, name in enumerate(HOSTILE[:2])]
    sweeps = [new_sweep(sweep_id=f"s{n}", dataset=HOSTILE[n + 2], settings=told) for n, told in enumerate(settings)]
    for invented in sweeps:
        invented.finished_trial("t0", number=0, architecture=HOSTILE[4])
    read = PageReader(render_comparison([invented.load() for invented in sweeps]))
    assert {tag for tag, _ in read.elements} <= OWN_TAGS
    assert all(name in read.text for name in HOSTILE[:5])


def test_sweeps_without_any_result_have_a_page(new_sweep: "Callable[..., InventedSweep]") -> None:
    sweeps = [new_sweep(sweep_id=name) for name in ("s1", "s2")]
    sweeps[0].suggest("t0")
    text = PageReader(render_comparison([invented.load() for invented in sweeps])).text
    assert "No configuration has all its seeds complete" in text
    assert "nan" not in text
