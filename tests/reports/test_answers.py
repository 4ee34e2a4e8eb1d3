"""Scores by group and the reliability diagram, held against the metrics that training computes on the same clips."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.stages import print_scores
from reports import are_told, by_fold, ends, group_scores, leaderboard, render_page
from reports.calibration import NUM_BINS, reliability
from reports.group_scores import GROUP_SCORES, GroupScores
from training.metrics import Evaluation, evaluate

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep

NewSweep = Callable[..., "InventedSweep"]
LABELS = ("dog", "rain", "clock")


class Corpus:
    """Clips of some speakers with one or several labels, and what seeds answered: the first speaker is told best."""

    def __init__(self, *, num_groups: int, clips_a_group: int = 8, several: bool = False) -> None:
        self.several = several
        self.groups = [f"speaker{clip // clips_a_group:03d}" for clip in range(num_groups * clips_a_group)]
        rng = np.random.default_rng(5)
        self.labels = [[int(clip % 3)] for clip in range(len(self.groups))]
        if several:
            self.labels = [sorted({*labels, int(rng.integers(3))}) for labels in self.labels]
        self.num_groups, self.clips_a_group = num_groups, clips_a_group

    def answers(self, seed: int) -> NDArray[np.float64]:
        rng = np.random.default_rng(seed)
        clarity = 3.0 * (1 - np.arange(len(self.groups)) // self.clips_a_group / max(1, self.num_groups))
        strength = np.array([np.isin(np.arange(3), labels) for labels in self.labels]) * clarity[:, None]
        given = np.exp(strength + rng.normal(0, 1, strength.shape))
        found = given / (1 + given) if self.several else given / given.sum(axis=1, keepdims=True)
        return np.asarray(found.astype(np.float32), dtype=np.float64)

    def record(self, sweep: "InventedSweep", trial_id: str, seeds: Sequence[int], clips: Sequence[int]) -> None:
        for seed in seeds:
            given = self.answers(seed)
            rows = [
                {
                    "sweep_id": sweep.sweep_id,
                    "trial_id": trial_id,
                    "seed": seed,
                    "part": "test",
                    "clip_id": f"clip{clip:04d}",
                    "label": self.labels[clip][0],
                    "labels": self.labels[clip],
                    "predicted": int(given[clip].argmax()),
                    "probabilities": given[clip].tolist(),
                    "group": self.groups[clip],
                }
                for clip in clips
            ]
            sweep.results.commit("predictions", sweep_id=sweep.sweep_id, commit=f"{trial_id}-seed{seed}", rows=rows)

    def evaluation(self, seed: int, group: str | None = None) -> Evaluation:
        clips = [clip for clip, of_clip in enumerate(self.groups) if group in (None, of_clip)]
        targets = np.zeros((len(clips), 3), dtype=bool)
        for row, clip in enumerate(clips):
            targets[row, self.labels[clip]] = True
        return evaluate(
            clip_ids=tuple(f"clip{clip:04d}" for clip in clips),
            groups=tuple(self.groups[clip] for clip in clips),
            targets=targets,
            first_label=np.array([self.labels[clip][0] for clip in clips]),
            probabilities=self.answers(seed)[clips],
            is_multi_label=self.several,
        )


def experiment(new_sweep: NewSweep, corpus: Corpus, *, seeds: Sequence[int] = (1, 2)) -> "InventedSweep":
    """Two folds; every second group is in the second one."""
    sweep = new_sweep(kind="experiment", labels=LABELS)
    for fold in (1, 2):
        trial_id = sweep.suggest(
            f"trial-{fold}", number=fold, seeds=seeds, fold=fold, loss="bce" if corpus.several else "cross_entropy"
        )
        for seed in seeds:
            sweep.train(trial_id, seed, (0.4, 0.7), scores=(0.4, 0.7))
            sweep.complete_seed(trial_id, seed, scores=json.dumps({"test": {"accuracy": 0.5}}))
        names = sorted(set(corpus.groups))
        clips = [clip for clip, group in enumerate(corpus.groups) if names.index(group) % 2 == fold - 1]
        corpus.record(sweep, trial_id, seeds, clips)
    return sweep


def searched(new_sweep: NewSweep, corpus: Corpus) -> "InventedSweep":
    sweep = new_sweep(labels=LABELS)
    sweep.finished_trial("t0", number=0, validation_accuracy=0.9)
    sweep.finished_trial("t1", number=1, validation_accuracy=0.8)
    corpus.record(sweep, "t0", (1, 2, 3), range(len(corpus.groups)))
    return sweep


def scores_of(invented: "InventedSweep") -> list[GroupScores]:
    sweep = invented.load()
    return group_scores(sweep, list(by_fold(sweep).values()))


@pytest.mark.parametrize("several", [False, True])
def test_a_groups_scores_are_those_of_its_clips_as_a_part_of_their_own(new_sweep: NewSweep, *, several: bool) -> None:
    corpus = Corpus(num_groups=4, several=several)
    found = scores_of(experiment(new_sweep, corpus))
    assert {group.group for group in found} == set(corpus.groups)
    for group in found:
        of_seeds = [corpus.evaluation(seed, group.group).scores for seed in (1, 2)]
        assert group.num_clips == 8
        for name in GROUP_SCORES:
            values = [scores[name] or 0.0 for scores in of_seeds]
            assert group.mean[name] == pytest.approx(np.mean(values)), name
            assert group.deviation[name] == pytest.approx(np.std(values, ddof=1)), name
    accuracies = [group.mean["accuracy"] or 0.0 for group in found]
    assert accuracies == sorted(accuracies)


def test_a_group_whose_clips_all_have_one_label_has_nothing_to_balance(new_sweep: NewSweep) -> None:
    corpus = Corpus(num_groups=2, clips_a_group=6)
    corpus.labels[:6] = [[1]] * 6
    found = {group.group: group for group in scores_of(experiment(new_sweep, corpus, seeds=(1,)))}
    one, other = found["speaker000"], found["speaker001"]
    assert (one.mean["balanced_accuracy"], one.mean["macro_f1"]) == (None, None)
    assert one.mean["accuracy"] == corpus.evaluation(1, "speaker000").accuracy
    assert other.mean["macro_f1"] is not None
    assert set(other.deviation.values()) == {None}  # of a single seed


def test_without_recorded_groups_there_are_no_scores(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1,))
    invented.complete_seed("t0", 1)
    for clip in ("a", "b"):
        invented.predict("t0", 1, clip, label=0, predicted=0)
    sweep = invented.load()
    assert group_scores(sweep, leaderboard(sweep)) == []
    assert not are_told([])


def test_a_few_groups_are_a_table_on_the_page_the_worst_first(new_sweep: NewSweep) -> None:
    sweep = experiment(new_sweep, Corpus(num_groups=3)).load()
    page = render_page(sweep, leaderboard(sweep))
    assert "Scores by group" in page
    assert "How far groups lie apart" not in page
    worst, *_, best = scores_of_loaded(sweep)
    assert 0 < page.index(f">{worst.group}<") < page.index(f">{best.group}<")


def scores_of_loaded(sweep: object) -> list[GroupScores]:
    return group_scores(sweep, list(by_fold(sweep).values()))  # type: ignore[arg-type]


def test_many_groups_are_dots_and_a_table_of_the_worst(new_sweep: NewSweep) -> None:
    sweep = experiment(new_sweep, Corpus(num_groups=90, clips_a_group=6)).load()
    page = render_page(sweep, leaderboard(sweep))
    worst = scores_of_loaded(sweep)
    assert "How far groups lie apart" in page
    assert "The 10 worst of 90 groups" in page
    assert page.count(">speaker") == 10
    assert f">{worst[9].group}<" in page


def test_recordings_of_a_few_clips_are_not_told_apart(new_sweep: NewSweep, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = experiment(new_sweep, Corpus(num_groups=6, clips_a_group=2)).load()
    assert "Scores by group" not in render_page(sweep, [])
    print_scores(sweep)
    assert "by group" not in capsys.readouterr().out


def test_the_page_and_the_terminal_of_a_sweep_have_the_groups_of_its_best_trial(
    new_sweep: NewSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = searched(new_sweep, Corpus(num_groups=3)).load()
    assert "cnn, trial 0, on test: 3 groups" in render_page(sweep, leaderboard(sweep))
    print_scores(sweep)
    told = capsys.readouterr().out
    assert "Test scores by group of the first row" in told
    assert "balanced accuracy" in told
    assert told.count("speaker00") == 3


def test_a_terminal_shows_the_ends_of_many_groups_and_says_how_many_there_are(
    new_sweep: NewSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = experiment(new_sweep, Corpus(num_groups=40, clips_a_group=6)).load()
    groups = scores_of_loaded(sweep)
    print_scores(sweep)
    told = capsys.readouterr().out
    assert "Test scores by group: the 5 worst and 3 best of 40" in told
    shown = [group.group for group in groups if group.group in told]
    assert shown == [group.group for group in [*groups[:5], *groups[-3:]]]
    assert ends(groups[:8], worst=5, best=3) == groups[:8]


@pytest.mark.parametrize("several", [False, True])
def test_the_calibration_error_is_the_one_that_training_computes(new_sweep: NewSweep, *, several: bool) -> None:
    corpus = Corpus(num_groups=12, several=several)
    sweep = experiment(new_sweep, corpus).load()
    found = reliability(sweep, list(by_fold(sweep).values()))
    assert found is not None
    assert found.errors == {seed: pytest.approx(corpus.evaluation(seed).scores["ece"]) for seed in (1, 2)}
    assert (found.num_clips, found.num_predictions) == (96, 192)
    assert all(of_bin.place / NUM_BINS <= of_bin.confidence <= (of_bin.place + 1) / NUM_BINS for of_bin in found.bins)
    assert sum(of_bin.accuracy * of_bin.num_predictions for of_bin in found.bins) == pytest.approx(
        sum(corpus.evaluation(seed).accuracy * 96 for seed in (1, 2))
    )


def test_a_model_that_is_always_sure_and_right_is_one_bin_on_the_diagonal(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1,))
    invented.complete_seed("t0", 1)
    for clip in range(4):
        invented.predict("t0", 1, f"clip{clip}", label=1, predicted=1, probabilities=[0.0, 1.0, 0.0])
    sweep = invented.load()
    found = reliability(sweep, leaderboard(sweep))
    assert found is not None
    (only,) = found.bins
    assert (only.place, only.num_predictions, only.confidence, only.accuracy) == (NUM_BINS - 1, 4, 1.0, 1.0)
    assert found.errors == {1: 0.0}


def test_the_page_of_an_experiment_shows_its_calibration_and_a_sweep_that_of_its_best(new_sweep: NewSweep) -> None:
    sweep = experiment(new_sweep, Corpus(num_groups=4)).load()
    assert "all 2 folds, on test: 64 predictions (32 clips × 2 seeds) in 15 bins" in render_page(sweep, [])


def test_without_predictions_the_page_has_neither(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    sweep = invented.load()
    page = render_page(sweep, leaderboard(sweep))
    assert "Calibration" not in page
    assert "Scores by group" not in page
