"""What a confirmation is: the best configurations of an ended search and the untuned defaults, over folds and seeds.

Enters: what became of the trials of a sweep, and the splits to confirm on. Leaves: a trial for every configuration and
fold, all to be trained to their end.

The choice is made on validation, once, by the rows of the sweep alone. Where the folds are more than the sweep's own
split, most of their test clips had a part in that choice: they were among train or validation of the sweep's split.
Only the test part of that split (the row of `sweeps` that `of_sweep` names has its hash) is untouched by it, and scores
on all other clips are too good by what the choice is worth.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.identity import content_hash
from sweeps.plan import SweepPlan
from sweeps.records import SeedScore, Suggestion, TrialRecord
from training import TrialConfig

# As in reports/leaderboard.py: means of the same numbers in another order differ in the last bits.
_TIE_DECIMALS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmationPlan:
    """The configurations of a sweep that are confirmed, and where.

    Attributes:
        chosen: suggestions of the sweep, by `choose`.
        split_hashes: fold → hash of its split; None stands for the sweep's own split, which is no fold.
        finished: ids of the trials that the sweep itself ran to their end.
    """

    sweep: SweepPlan
    chosen: tuple[Suggestion, ...]
    split_hashes: Mapping[int | None, str]
    finished: frozenset[str]

    @property
    def confirmation_id(self) -> str:
        """The sweep's id and a hash of all trials: the same choice on the same splits is the same confirmation.

        A sweep that goes on after it was confirmed (an open trial ends, its budget is extended) may make another
        choice, and so another confirmation, which takes over what they have in common.
        """
        trial_ids = [suggestion.config.trial_id for suggestion in self.suggestions()]
        return f"{self.sweep.sweep_id}-confirmation-{content_hash(trial_ids, length=12)}"

    @property
    def adds_something(self) -> bool:
        """Whether the rows of the sweep itself do not say all of it already; copies would only be in the way."""
        return any(suggestion.config.trial_id not in self.finished for suggestion in self.suggestions())

    @property
    def without_default(self) -> tuple[str, ...]:
        """Architectures whose untuned default cannot be confirmed."""
        with_default = {one.config.architecture for one in self.chosen if one.untuned_default}
        return tuple(name for name in self.sweep.settings.architectures if name not in with_default)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those of the sweep first, in its order, as they are trained already."""
        of_sweep, wanted = self.sweep.settings.seeds, self.sweep.settings.confirm.seeds
        if not wanted:
            return of_sweep
        return (*(seed for seed in of_sweep if seed in wanted), *(seed for seed in wanted if seed not in of_sweep))

    def suggestions(self) -> tuple[Suggestion, ...]:
        """One trial for every configuration and fold, fold by fold for each configuration."""
        trials = [(suggestion, fold) for suggestion in self.chosen for fold in self._folds]
        return tuple(
            dataclasses.replace(
                suggestion,
                number=number,
                config=self._config(suggestion, fold),
                fold=fold,
                of_trial=suggestion.config.trial_id,
            )
            for number, (suggestion, fold) in enumerate(trials)
        )

    @property
    def _folds(self) -> list[int | None]:
        return sorted(self.split_hashes, key=lambda fold: -1 if fold is None else fold)

    def _config(self, suggestion: Suggestion, fold: int | None) -> TrialConfig:
        return dataclasses.replace(suggestion.config, split_hash=self.split_hashes[fold], seeds=self.seeds)


def choose(
    records: Iterable[TrialRecord],
    scores: Mapping[tuple[str, int], SeedScore],
    *,
    architectures: Sequence[str],
    best: int,
) -> tuple[Suggestion, ...]:
    """The best configurations of each architecture, best first, and its untuned default where it is not among them.

    Finished trials come first, ranked as the leaderboard ranks them. Only where they are fewer than `best` do stopped
    ones follow, those that came farthest first, by the objective that the scheduler compared. Failed trials, and those
    that are still open, are none of them: the same configuration would fail again, or is not known yet.

    Args:
        records, scores: of an ended sweep; a deterministic function of them.
        best: of each architecture; with 0 nothing is chosen.
    """
    if not best:
        return ()
    ended = [record for record in records if record.state in ("finished", "stopped")]
    chosen: list[Suggestion] = []
    for architecture in architectures:
        ours = [record for record in ended if record.suggestion.config.architecture == architecture]
        ranked = sorted(ours, key=lambda record: _rank(record, scores))
        defaults = [record for record in ranked[best:] if record.suggestion.untuned_default]
        chosen += [record.suggestion for record in (*ranked[:best], *defaults)]
    return tuple(chosen)


def _rank(record: TrialRecord, scores: Mapping[tuple[str, int], SeedScore]) -> tuple[float, ...]:
    """Lower is better."""
    suggestion = record.suggestion
    if record.state != "finished":
        objective = -math.inf if record.objective is None else record.objective
        return 1, -max(record.objectives, default=0), -objective, suggestion.number
    of_seeds = [scores[suggestion.config.trial_id, seed] for seed in suggestion.config.seeds]
    score, macro_f1 = (_mean(values) for values in zip(*((one.score, one.macro_f1) for one in of_seeds), strict=True))
    return 0, _descending(score), _descending(macro_f1), suggestion.number


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _descending(value: float) -> float:
    return -round(value, _TIE_DECIMALS) if math.isfinite(value) else math.inf
