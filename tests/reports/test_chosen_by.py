"""What rows are ranked by and every heading names: accuracy, or macro ROC-AUC where a clip may have several labels."""

import json
import re
from typing import TYPE_CHECKING

import pytest

from reports import SweepResults, leaderboard, leaderboard_header, leaderboard_lines, render_page

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep


@pytest.fixture
def ranked(invented: "InventedSweep") -> SweepResults:
    for number, (auc, accuracy) in enumerate([(0.81, 0.9), (0.93, 0.4)]):
        invented.suggest(f"t{number}", number=number, seeds=(1, 2), loss="bce")
        for seed in (1, 2):
            invented.complete_seed(
                f"t{number}",
                seed,
                validation_accuracy=accuracy,
                validation_score=auc + 0.01 * seed,
                test_accuracy=accuracy,
                test_score=auc - 0.1,
                scores=json.dumps({"test": {"map": 0.5 + 0.1 * seed}, "validation": {}}),
            )
    return invented.load()


def test_rows_are_ranked_by_it(ranked: SweepResults) -> None:
    first, second = leaderboard(ranked)
    assert (first.number, second.number) == (1, 0)
    assert first.validation_score_mean == pytest.approx(0.945)
    assert first.validation_score_std == pytest.approx(0.01 / 2**0.5)
    assert first.test_score_mean == pytest.approx(0.83)
    assert first.test_map_mean == pytest.approx(0.65)


def test_the_terminal_names_it(ranked: SweepResults) -> None:
    cells = dict(zip(leaderboard_header(ranked), leaderboard_lines(ranked, leaderboard(ranked))[0], strict=True))
    assert cells["validation macro AUC"] == "0.945 ± 0.007"
    assert cells["test macro AUC"] == "0.830 ± 0.000"
    assert cells["test mAP"] == "0.650"
    assert not any("accuracy" in name for name in cells)


def test_every_part_of_the_page_names_it(ranked: SweepResults) -> None:
    page = render_page(ranked, leaderboard(ranked))
    text = re.sub("<[^>]*>", " ", re.sub("<(script|style)[^>]*>.*?</(script|style)>", " ", page, flags=re.DOTALL))
    for words in (
        "test macro ROC-AUC, mean ± standard deviation over 2 seeds",
        "ranked by mean validation macro ROC-AUC",
        "highest macro ROC-AUC of 2",
        "best validation macro ROC-AUC",
        "Validation macro ROC-AUC by epoch",
    ):
        assert words in " ".join(text.split()), words
    assert "accuracy" not in text.lower()


def test_a_gain_over_the_untuned_default_is_told_in_it(invented: "InventedSweep") -> None:
    for number, (parameters, auc) in enumerate([({}, 0.7), ({"dropout": 0.1}, 0.75)]):
        invented.suggest(f"t{number}", number=number, seeds=(1,), loss="bce", parameters=parameters)
        invented.complete_seed(f"t{number}", 1, validation_score=auc, test_score=auc)
    sweep = invented.load()
    assert "+0.050 in test macro ROC-AUC (default: 0.700)" in render_page(sweep, leaderboard(sweep))


def test_of_one_label_the_score_is_the_accuracy_of_earlier_versions_too(invented: "InventedSweep") -> None:
    invented.finished_trial("recorded-before", number=0, validation_accuracy=0.7)
    invented.finished_trial("recorded-now", number=1, validation_accuracy=0.8, validation_score=0.8, test_score=0.75)
    rows = leaderboard(invented.load())
    assert [row.validation_score_mean for row in rows] == pytest.approx([0.8, 0.7])
    assert [row.test_score_mean for row in rows] == pytest.approx([0.75, 0.75])
