"""The statistics of a sweep's best, put together: which configurations, their scores, the tests of all pairs.

Enters: a sweep and its leaderboard. Leaves: `Finals`, and the sections that show them.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.confirmed import Confirmed, newest_confirmed
from reports.evidence_sections import intervals_section
from reports.final_scores import FinalScore, PairedTests, final_scores, paired_tests
from reports.finalists import (
    MOST_OF_AN_ARCHITECTURE,
    Finalist,
    best_and_defaults,
    finalists_of_sweep,
)
from reports.leaderboard import LeaderboardRow, leaderboard, part_scores
from reports.markup import Markup
from reports.pair_sections import pairs_section
from reports.sweep_results import SweepResults
from reports.text import counted
from reports.untouched_clips import untouched_clips

BEGUN = "The confirmation so far"
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
    num_failed: configurations of the confirmation whose training failed.
    begun: a confirmation that is not complete, where none is.
    """

    finalists: Sequence[Finalist]
    scores: Sequence[FinalScore]
    reasons: dict[str, str]
    tests: PairedTests | None
    test_reasons: dict[str, str]
    confirmation: SweepResults | None
    num_failed: int
    begun: Confirmed | None

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

    def seed_scores_of(self, finalist: Finalist) -> dict[int, float]:
        """Its test score by seed: on clips without a part in the search where it has some, else on all of them."""
        found = self.score_of(finalist.number)
        if found is not None:
            cube = found.best_known_cube
            return dict(zip(cube.seeds, cube.seed_scores.tolist(), strict=True))
        rows = finalist.seed_rows
        of_seeds = part_scores(rows, "test").groupby(rows["seed"]).mean()
        return dict(zip(of_seeds.index.tolist(), of_seeds.tolist(), strict=True))

    def worth_of(self, finalist: Finalist) -> tuple[float, float | None]:
        """Mean and deviation of `seed_scores_of`."""
        scores = list(self.seed_scores_of(finalist).values())
        return statistics.fmean(scores), statistics.stdev(scores) if len(scores) > 1 else None

    def confirmed_on(self, finalist: Finalist) -> str:
        """`5 seeds on 3 folds`."""
        return f"{counted(len(finalist.seeds), 'seed')} on {counted(finalist.num_folds, 'fold')}"

    def best_rows(
        self, sweep: SweepResults, rows: Sequence[LeaderboardRow]
    ) -> tuple[SweepResults, Sequence[LeaderboardRow]]:
        """(whose rows they are, the best configuration's: one, or one for every fold). Args: rows: of the sweep."""
        if self.confirmation is None:
            return sweep, rows[:1]
        first = self.finalists[0]
        ours = [row for row in leaderboard(self.confirmation) if row.trial_id in first.fold_of_trial]
        ours.sort(key=lambda row: first.fold_of_trial[row.trial_id])
        return self.confirmation, [replace(row, number=first.number) for row in ours]


def finals_of(sweep: SweepResults, rows: Sequence[LeaderboardRow], *, has_tests: bool = True) -> Finals:
    """From the newest confirmation that is complete; where there is none from the sweep itself.

    Args:
        has_tests: whether pairs are tested, which takes longest.
    """
    newest = newest_confirmed(sweep)
    confirmed = newest if newest is not None and newest.is_complete else None
    finalists = finalists_of_sweep(sweep, rows) if confirmed is None else confirmed.finalists
    scores, reasons = final_scores(finalists, own_test_clips=None if confirmed is None else untouched_clips(sweep))
    in_pairs = best_and_defaults(score.finalist for score in scores) if has_tests else []
    tests, test_reasons = paired_tests([score for score in scores if score.finalist in in_pairs[:MOST_IN_PAIRS]])
    test_reasons |= {finalist.name: most_told() for finalist in in_pairs[MOST_IN_PAIRS:]}
    return Finals(
        finalists=finalists,
        scores=scores,
        reasons=reasons,
        tests=tests,
        test_reasons=test_reasons,
        confirmation=None if confirmed is None else confirmed.source,
        num_failed=0 if confirmed is None else confirmed.num_failed,
        begun=newest if confirmed is None else None,
    )


def most_told() -> str:
    """Why a configuration is in no pair although it could be."""
    return f"no more than {MOST_IN_PAIRS} configurations are tested in pairs, and others come before it"


def finals_sections(sweep: SweepResults, finals: Finals) -> list[Markup | None]:
    """Intervals, then pairs; between them what an incomplete confirmation has come to."""
    return [
        intervals_section(
            sweep,
            finals.finalists,
            finals.scores,
            origin=_origin(finals),
            is_untouched=finals.is_untouched,
            reasons=finals.reasons,
        ),
        _begun_section(sweep, finals.begun),
        pairs_section(
            sweep,
            finals.tests,
            in_words=_told_in_words(finals),
            reasons=finals.test_reasons,
            of_what=f"The best of each architecture and its untuned default. {_tuned_is_flattered(finals)}".strip(),
        ),
    ]


def _begun_section(sweep: SweepResults, begun: Confirmed | None) -> Markup | None:
    if begun is None or not begun.finalists:
        return None
    scores, reasons = final_scores(begun.finalists, own_test_clips=untouched_clips(sweep))
    whole = counted(len(begun.finalists), "configuration")
    return intervals_section(
        sweep,
        begun.finalists,
        scores,
        title=BEGUN,
        origin=f"The confirmation {begun.source.sweep_id} has {whole} complete and {begun.num_open} still open. "
        "Nothing is chosen by it yet: what is complete is what happened to be trained first.",
        is_untouched=bool(scores) and all(score.is_untouched for score in scores),
        reasons=reasons,
    )


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
        waits = "" if finals.begun is None else " A confirmation has begun, and has yet to be completed."
        return (
            f"From the sweep's own trials, as no confirmation is complete: the {best} of each architecture and "
            f"its untuned default, of those that were trained to the end.{waits}"
        )
    parts = [
        f"From the confirmation {finals.confirmation.sweep_id}: the best of each architecture and its untuned default, "
        f"trained to the end with {finals.confirmed_on(finals.finalists[0])}."
    ]
    if finals.num_failed:
        parts.append(f"{counted(finals.num_failed, 'configuration')} of it failed and left out.")
    if finals.scores and not finals.is_untouched:
        parts.append(_too_good(finals.scores[0]))
    return " ".join(parts)


def _tuned_is_flattered(finals: Finals) -> str:
    """What is searched was chosen on these clips, what is untuned was not."""
    if finals.is_untouched or not finals.scores:
        return ""
    return (
        "Compared are all test clips of the confirmation, of which some or all had a part in the search: what was "
        "searched looks better against an untuned default than it is, by what choosing it is worth."
    )


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
