"""Which configurations enter the statistics, and which trials hold their answers.

Enters: a sweep, its leaderboard and, where there is one, its confirmation. Leaves: `Finalist`s: the best of each
architecture and its untuned default. From a confirmation they were trained to the end over seeds × folds; without one
they are the sweep's own fully trained trials, which the sweep itself chose.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.leaderboard import LeaderboardRow, descending, part_scores
from reports.sweep_results import SweepResults, planned_seeds, searched_configuration

MOST_OF_AN_ARCHITECTURE = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Finalist:
    """One configuration whose seeds are complete in every fold.

    Attributes:
        number: of the sweep's trial.
        source: that holds its rows: the sweep, or its confirmation.
        fold_of_trial: trial of the source → fold; a single trial and 0 where there are no folds.
        seeds: complete in every fold.
        validation_mean, validation_std: of what trials are chosen by; a seed's score is the mean of its folds'.
    """

    architecture: str
    number: int
    configuration: Mapping[str, Any]
    source: SweepResults
    fold_of_trial: Mapping[str, int]
    seeds: tuple[int, ...]
    validation_mean: float
    validation_std: float | None

    @property
    def name(self) -> str:
        """Short, and no other of the sweep has it: `cnn #3`, `cnn #0 default`."""
        return f"{self.architecture} #{self.number}{' default' if self.is_default else ''}"

    @property
    def is_default(self) -> bool:
        return bool(self.configuration.get("untuned_default"))

    @property
    def num_folds(self) -> int:
        return len(self.fold_of_trial)

    @property
    def seed_rows(self) -> pd.DataFrame:
        """Its rows of the seeds table."""
        return _rows_of(self.source, self.fold_of_trial, self.seeds)


def finalists_of_sweep(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> list[Finalist]:
    """The best of each architecture and its default, from the sweep's own trials, best first."""
    found = [_of_row(sweep, row) for row in rows]
    return _chosen(found)


def confirmed_finalists(
    confirmation: SweepResults, sweep: SweepResults, of_trial: Mapping[str, Mapping[str, int]]
) -> list[Finalist]:
    """Those whose seeds are complete in every fold, best on validation first.

    Args:
        of_trial: trial of the sweep → trials of the confirmation → their fold.
    """
    planned = {str(row.trial_id): row for row in sweep.suggestions.itertuples()}
    found = []
    for trial_id, fold_of_trial in of_trial.items():
        seeds = _whole_seeds(confirmation, fold_of_trial)
        if seeds and trial_id in planned:
            found.append(_finalist(confirmation, planned[trial_id], fold_of_trial, seeds))
    return sorted(found, key=_rank_key)


def best_and_defaults(finalists: Iterable[Finalist]) -> list[Finalist]:
    """Of each architecture the best one that was searched for and the untuned default, in their order."""
    kept, seen = [], set()
    for finalist in finalists:
        kind = (finalist.architecture, finalist.is_default)
        if kind not in seen:
            kept.append(finalist)
        seen.add(kind)
    return kept


def _chosen(finalists: Iterable[Finalist]) -> list[Finalist]:
    counts: dict[str, int] = defaultdict(int)
    kept = []
    for finalist in finalists:
        counts[finalist.architecture] += 1
        if counts[finalist.architecture] <= MOST_OF_AN_ARCHITECTURE or finalist.is_default:
            kept.append(finalist)
    return kept


def _of_row(sweep: SweepResults, row: LeaderboardRow) -> Finalist:
    return Finalist(
        architecture=row.architecture,
        number=row.number,
        configuration=row.configuration,
        source=sweep,
        fold_of_trial={row.trial_id: 0},
        seeds=tuple(row.seeds),
        validation_mean=row.validation_score_mean,
        validation_std=row.validation_score_std,
    )


def _finalist(
    confirmation: SweepResults, suggestion: Any, fold_of_trial: Mapping[str, int], seeds: tuple[int, ...]
) -> Finalist:
    rows = _rows_of(confirmation, fold_of_trial, seeds)
    of_seeds = part_scores(rows, "validation").groupby(rows["seed"]).mean()
    return Finalist(
        architecture=suggestion.architecture,
        number=int(suggestion.number),
        configuration=searched_configuration(suggestion),
        source=confirmation,
        fold_of_trial=fold_of_trial,
        seeds=seeds,
        validation_mean=float(of_seeds.mean(skipna=False)),
        validation_std=float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else None,
    )


def _whole_seeds(confirmation: SweepResults, fold_of_trial: Mapping[str, int]) -> tuple[int, ...]:
    """The planned seeds, where every fold has all of them; else none."""
    suggestions = confirmation.suggestions
    wanted = {
        (str(row.trial_id), seed)
        for row in suggestions[suggestions["trial_id"].isin(list(fold_of_trial))].itertuples()
        for seed in planned_seeds(str(row.configuration))
    }
    completed = set(zip(confirmation.seeds["trial_id"], confirmation.seeds["seed"], strict=True))
    return tuple(sorted({seed for _, seed in wanted})) if wanted <= completed else ()


def _rows_of(source: SweepResults, fold_of_trial: Mapping[str, int], seeds: Iterable[int]) -> pd.DataFrame:
    rows = source.seeds
    wanted = rows["trial_id"].isin(list(fold_of_trial)) & rows["seed"].isin(list(seeds))
    return rows[wanted].sort_values(["seed", "trial_id"])


def _rank_key(finalist: Finalist) -> tuple[float, int]:
    return descending(finalist.validation_mean), finalist.number
