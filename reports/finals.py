"""The statistics of a sweep's best, put together: which configurations, their scores, the tests of all pairs.

Enters: a sweep and its leaderboard. Leaves: `Finals`, and the two sections that show them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.evidence_sections import intervals_section
from reports.final_scores import FinalScore, PairedTests, final_scores, paired_tests
from reports.finalists import (
    MOST_OF_AN_ARCHITECTURE,
    Finalist,
    best_and_defaults,
    finalists_of_confirmation,
    finalists_of_sweep,
)
from reports.leaderboard import LeaderboardRow
from reports.markup import Markup
from reports.pair_sections import pairs_section
from reports.related import newest_related
from reports.sweep_results import SweepResults
from reports.text import counted
from reports.untouched_clips import untouched_clips

MOST_IN_PAIRS = 12  # 66 pairs; more make a matrix that nobody reads, and Holm's correction costs every one of them


@dataclass(frozen=True, kw_only=True, eq=False)
class Finals:
    """Attributes:
    finalists: best on validation first.
    scores: of those whose predictions are stored.
    reasons: name of a finalist → why it has no score.
    tests: of the best of each architecture and the untuned defaults.
    test_reasons: name → why it is in no test.
    confirmation: whose rows these are; None where they are the sweep's own.
    num_incomplete: configurations of the confirmation that have not all seeds and folds.
    """

    finalists: Sequence[Finalist]
    scores: Sequence[FinalScore]
    reasons: dict[str, str]
    tests: PairedTests | None
    test_reasons: dict[str, str]
    confirmation: SweepResults | None
    num_incomplete: int

    @property
    def best_of_each(self) -> list[Finalist]:
        """The best finalist of each architecture, in their order."""
        best: dict[str, Finalist] = {}
        for finalist in self.finalists:
            best.setdefault(finalist.architecture, finalist)
        return list(best.values())

    @property
    def is_untouched(self) -> bool:
        """Whether it is known that no test clip had a part in the search."""
        return self.confirmation is None or (bool(self.scores) and all(score.is_untouched for score in self.scores))

    def score_of(self, number: int) -> FinalScore | None:
        """Of the sweep's trial of this number."""
        return next((score for score in self.scores if score.finalist.number == number), None)


def finals_of(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> Finals:
    """From the newest confirmation, once any of its configurations is complete; before that from the sweep itself."""
    confirmation = newest_related(sweep, "confirmation")
    finalists, num_incomplete = finalists_of_confirmation(confirmation, sweep) if confirmation else ([], 0)
    if not finalists:
        confirmation, finalists = None, finalists_of_sweep(sweep, rows)
    own_test_clips = None if confirmation is None else untouched_clips(sweep)
    scores, reasons = final_scores(finalists, own_test_clips=own_test_clips)
    in_pairs = best_and_defaults(score.finalist for score in scores)[:MOST_IN_PAIRS]
    tests, test_reasons = paired_tests([score for score in scores if score.finalist in in_pairs])
    return Finals(
        finalists=finalists,
        scores=scores,
        reasons=reasons,
        tests=tests,
        test_reasons=test_reasons,
        confirmation=confirmation,
        num_incomplete=num_incomplete,
    )


def finals_sections(sweep: SweepResults, finals: Finals) -> list[Markup]:
    """Intervals, then pairs."""
    return [
        intervals_section(
            sweep,
            finals.finalists,
            finals.scores,
            origin=_origin(finals),
            is_untouched=finals.is_untouched,
            reasons=finals.reasons,
        ),
        pairs_section(
            sweep,
            finals.tests,
            in_words=_told_in_words(finals),
            reasons=finals.test_reasons,
            of_what="The best of each architecture and its untuned default.",
        ),
    ]


def _told_in_words(finals: Finals) -> list[tuple[str, str]]:
    """The best against the best of every other architecture; then what was searched against the untuned default."""
    best = finals.best_of_each
    tuned: dict[str, str] = {}
    default: dict[str, str] = {}
    for finalist in best_and_defaults(finals.finalists):
        (default if finalist.is_default else tuned)[finalist.architecture] = finalist.name
    own = [(tuned[one.architecture], default.get(one.architecture, "")) for one in best if one.architecture in tuned]
    return [*((best[0].name, other.name) for other in best[1:]), *own]


def _origin(finals: Finals) -> str:
    if finals.confirmation is None:
        best = "best" if MOST_OF_AN_ARCHITECTURE == 1 else f"best {MOST_OF_AN_ARCHITECTURE}"
        waits = " A confirmation has begun; none of its configurations is complete." if finals.num_incomplete else ""
        return (
            f"From the sweep's own trials, as no configuration has been confirmed: the {best} of each architecture and "
            f"its untuned default, of those that were trained to the end.{waits}"
        )
    first = finals.finalists[0]
    parts = [
        f"From the confirmation {finals.confirmation.sweep_id}: the best of each architecture and its untuned default, "
        f"trained to the end with {counted(len(first.seeds), 'seed')} on {counted(first.num_folds, 'fold')}."
    ]
    if finals.num_incomplete:
        parts.append(f"{counted(finals.num_incomplete, 'configuration')} of it not complete and left out.")
    if finals.scores and not finals.is_untouched:
        parts.append(_too_good(finals.scores[0]))
    return " ".join(parts)


def _too_good(score: FinalScore) -> str:
    """Which scores of a confirmation the search has made better than they are."""
    clips = counted(len(score.cube.clip_ids), "test clip")
    if not score.num_untouched:
        return (
            f"None of its {clips} is known to be one of the sweep's own test clips: they had a part in the search, as "
            "training or validation clips, so that these scores are too good by what the choice of configurations is "
            "worth."
        )
    return (
        f"Of its {clips} only the sweep's own {score.num_untouched:,} had no part in the search, the others had, as "
        "training or validation clips. Scores over all of them are too good by what the choice of configurations is "
        "worth; those on the sweep's own test clips are not, but for the order of these few configurations, which is "
        "that of the validation clips of all folds."
    )
