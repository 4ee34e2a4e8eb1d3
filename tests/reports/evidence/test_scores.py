"""Macro-F1 and AUC as means over clips: their value is scikit-learn's, their spread that of the jackknife."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from reports.evidence import Answers, accuracy, estimate, jackknifed, macro_auc, macro_f1
from reports.label_scores import area_under_roc
from storage.errors import InvalidInput

_NUM_LABELS = 4


def test_values_are_those_of_scikit_learn_fold_by_fold() -> None:
    answers = _answers(120, seed=0)
    folds = np.asarray(answers.folds)
    for place in range(len(answers.seeds)):
        f1, auc = [], []
        for fold in (1, 2):
            has, given = answers.has_label[folds == fold], answers.probabilities[folds == fold, place]
            f1.append(f1_score(has.argmax(axis=1), given.argmax(axis=1), average="macro"))
            auc.append(roc_auc_score(has, given, average="macro"))
        assert macro_f1(answers).seed_scores[place] == pytest.approx(np.mean(f1))
        assert macro_auc(answers).seed_scores[place] == pytest.approx(np.mean(auc))


def test_several_labels_are_decided_at_one_half() -> None:
    answers = _answers(60, seed=1)
    has, given = answers.has_label, answers.probabilities[:, 0]
    folds = np.asarray(answers.folds)
    expected = [f1_score(has[folds == fold], given[folds == fold] >= 0.5, average="macro") for fold in (1, 2)]
    assert macro_f1(answers, is_multi_label=True).seed_scores[0] == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("score", ["macro_f1", "macro_auc"])
def test_the_spread_of_a_linearised_score_is_that_of_the_jackknife(score: str) -> None:
    answers = _answers(160, seed=2)
    linear = macro_f1(answers) if score == "macro_f1" else macro_auc(answers)
    by_jackknife = jackknifed(answers, _f1 if score == "macro_f1" else _auc, max_blocks=80)
    assert by_jackknife.seed_scores == pytest.approx(linear.seed_scores)
    assert float(estimate(linear).spread.base) == pytest.approx(float(estimate(by_jackknife).spread.base), rel=0.15)


def test_the_jackknife_of_a_mean_is_the_mean() -> None:
    answers = _answers(40, seed=3)
    by_jackknife = jackknifed(answers, lambda has, given: float(has[np.arange(len(has)), given.argmax(axis=1)].mean()))
    direct = accuracy(answers)
    assert by_jackknife.seed_scores == pytest.approx(direct.seed_scores)
    assert float(estimate(by_jackknife).spread.base) == pytest.approx(float(estimate(direct).spread.base))


def test_a_fold_without_a_label_that_some_lack_has_no_auc() -> None:
    answers = Answers(
        clip_ids=("a", "b"),
        groups=("a", "b"),
        folds=(0, 0),
        seeds=(1,),
        has_label=np.array([[True, False], [True, False]]),
        predicted=np.array([[0], [0]]),
        probabilities=np.array([[[0.9, 0.1]], [[0.8, 0.2]]]),
    )
    with pytest.raises(InvalidInput, match="labels of a fold"):
        macro_auc(answers)
    assert macro_f1(answers).seed_scores.tolist() == [1.0]


def _answers(num_clips: int, *, seed: int) -> Answers:
    rng = np.random.default_rng(seed)
    label = np.arange(num_clips) % _NUM_LABELS
    has_label = np.eye(_NUM_LABELS, dtype=bool)[label]
    given = np.exp(rng.normal(0, 1, (num_clips, 3, _NUM_LABELS)) + 1.5 * has_label[:, None])
    given /= given.sum(axis=2, keepdims=True)
    return Answers(
        clip_ids=tuple(f"clip{number:04d}" for number in range(num_clips)),
        groups=tuple(f"clip{number:04d}" for number in range(num_clips)),
        folds=tuple(1 + (number // _NUM_LABELS) % 2 for number in range(num_clips)),
        seeds=(1, 2, 3),
        has_label=has_label,
        predicted=given.argmax(axis=2),
        probabilities=given,
    )


def _f1(has_label: np.ndarray, given: np.ndarray) -> float:
    said = np.eye(_NUM_LABELS, dtype=bool)[given.argmax(axis=1)]
    return float((2 * (has_label & said).sum(axis=0) / (has_label.sum(axis=0) + said.sum(axis=0))).mean())


def _auc(has_label: np.ndarray, given: np.ndarray) -> float:
    areas = [area_under_roc(has_label[:, label], given[:, label]) for label in range(_NUM_LABELS)]
    return float(np.mean([area for area in areas if area is not None]))
