"""Where a sweep stands, by what the results table has of it: for who looks on from elsewhere, while others write.

Enters: a results table and a sweep's id. Leaves: a `SweepState`. Rows of epochs, by far the most, are not fetched but
for the newest of each trial that has not ended: names of commits say which trial and seed they are of.
"""

import datetime
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from storage.errors import InvalidInput, first_few, nearest_ids
from storage.generations import Partition, partitions
from storage.once_read import Commits, Objectives, Rows, find_commits, written_at
from storage.results_table import ResultsTable

Fate = Literal["finished", "stopped", "failed", "open", "waiting"]
FATES: tuple[Fate, ...] = ("finished", "stopped", "failed", "open", "waiting")

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "suggestions": ("trial_id", "number", "architecture", "configuration", "fold"),
    "trials": ("trial_id", "state", "objective", "ended_at"),
    "failures": ("trial_id", "reason", "detail", "failed_at"),
    "extensions": ("extend",),
}
_ALSO_WRITTEN = ("decisions", "measurements")
_OF_EPOCH = re.compile(r"(.+)-seed(-?\d+)-epoch(\d+)")
_OF_SEED = re.compile(r"(.+)-seed(-?\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialState:
    """A trial that was suggested.

    Attributes:
        fold: that it is tested on, in an experiment or a confirmation over folds.
        fate: `finished`, `stopped` or `failed`, as its row says; `open`: has epochs and no end; `waiting`: has neither.
        epochs: of each seed, as planned.
        seed_epochs: rows of epochs, over all seeds.
        objective: of its end or, of an open trial, of its newest epoch; None where it has none.
    """

    trial_id: str
    number: int
    architecture: str
    fold: int | None
    fate: Fate
    num_seeds: int
    num_seeds_complete: int
    epochs: int
    seed_epochs: int
    objective: float | None

    @property
    def has_ended(self) -> bool:
        return self.fate in ("finished", "stopped", "failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureState:
    """A failure, and the trial that it happened to; `number` and `architecture` are None where that is unknown."""

    trial_id: str
    number: int | None
    architecture: str | None
    reason: str
    detail: str
    failed_at: datetime.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What a sweep may come to.

    Attributes:
        num_trials: at most.
        seed_epochs: at most; exactly, where `is_exact`: no trial is stopped early then.
        begins_all: whether every trial is begun. An adaptive sweep spends a budget instead.
    """

    num_trials: int
    seed_epochs: int
    is_exact: bool
    begins_all: bool = True

    def is_over(self, *, num_suggested: int, num_ended: int) -> bool:
        """Whether every trial has ended, as many as were planned; of an adaptive sweep, as many as it has begun.

        A search space with fewer configurations than were planned leaves a sweep that is never over by its rows.
        """
        has_all = not self.begins_all or num_suggested >= self.num_trials
        return has_all and 0 < num_suggested == num_ended


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepState:
    """What the table has of a sweep, an experiment, a confirmation or an audit.

    Attributes:
        kind: `sweep`, `experiment`, `confirmation` or `audit`.
        of_sweep: that a confirmation or an audit belongs to.
        settings: the resolved ones of the job that began it.
        planned: by the settings of a sweep; of all else every trial is suggested when it begins.
        trials: by number.
        failures: oldest first.
        epochs_written_at: when rows of epochs were written, ascending, in seconds since 1970 by the store's clock: all
            but those that were compacted and then deleted, which is hours after.
        newest_at: likewise, of the newest row of any table, predictions left aside; by the clock of who wrote it where
            compaction has left no other.
    """

    sweep_id: str
    kind: str
    of_sweep: str | None
    dataset: str
    started_at: datetime.datetime
    settings: Mapping[str, Any]
    planned: Planned
    trials: tuple[TrialState, ...]
    failures: tuple[FailureState, ...]
    epochs_written_at: tuple[float, ...]
    newest_at: float

    @property
    def seed_epochs(self) -> int:
        return sum(trial.seed_epochs for trial in self.trials)

    @property
    def num_ended(self) -> int:
        return sum(trial.has_ended for trial in self.trials)

    @property
    def is_over(self) -> bool:
        return self.planned.is_over(num_suggested=len(self.trials), num_ended=self.num_ended)


class SweepReader:
    """Reads a sweep, as often as asked; what it has read once it does not fetch again.

    Raises:
        InvalidInput: the store has no sweep of this id.
    """

    def __init__(self, results: ResultsTable, sweep_id: str) -> None:
        self._store, self.sweep_id = results.store, sweep_id
        rows = results.read("sweeps", sweep_id=sweep_id).to_pylist()
        if not rows:
            _refuse_unknown_sweep(results, sweep_id)
        self._sweep = min(rows, key=lambda row: row["started_at"])
        self._rows = {
            table: Rows(results.store, Partition(table=table, sweep_id=sweep_id), columns)
            for table, columns in _COLUMNS.items()
        }
        self._objectives = Objectives(results, sweep_id)

    def read(self) -> SweepState:
        """As it is now.

        Raises:
            StorageError: the store fails, or an object in it is damaged.
        """
        rows = {table: reader.read() for table, reader in self._rows.items()}
        epochs, seeds, *others = (self._commits(table) for table in ("epochs", "seeds", *_ALSO_WRITTEN))
        settings = json.loads(self._sweep["settings"])
        usual = settings.get("sweep", {}).get("epochs", 0)  # of older versions, whose configurations do not tell
        trials = self._trials(rows["suggestions"], rows["trials"], epochs, seeds, usual_epochs=usual)
        times = [at for commits in (epochs, seeds, *others) for at in written_at(commits)]
        times += [at for reader in self._rows.values() for at in reader.written_at]
        by_id = {trial.trial_id: trial for trial in trials}
        extend = max((row["extend"] for row in rows["extensions"]), default=0)
        return SweepState(
            sweep_id=self.sweep_id,
            kind=self._sweep["kind"] or "sweep",
            of_sweep=self._sweep["of_sweep"],
            dataset=self._sweep["dataset"],
            started_at=self._sweep["started_at"],
            settings=settings,
            planned=planned_by(self._sweep, extend=extend) or _planned_of(trials),
            trials=tuple(trials),
            failures=tuple(_failure(row, by_id) for row in sorted(rows["failures"], key=lambda row: row["failed_at"])),
            epochs_written_at=tuple(sorted(written_at(epochs))),
            newest_at=max(times, default=told_at(self._sweep, rows["trials"])),
        )

    def _commits(self, table: str) -> Commits:
        return find_commits(self._store, table, self.sweep_id).get(self.sweep_id, {})

    def _trials(
        self,
        suggestions: Iterable[Mapping[str, Any]],
        ends: Iterable[Mapping[str, Any]],
        epochs: Commits,
        seeds: Commits,
        *,
        usual_epochs: int,
    ) -> list[TrialState]:
        names, trained = defaultdict[str, list[str]](list), Counter[str]()
        for name in epochs:
            if match := _OF_EPOCH.fullmatch(name):
                names[match[1]].append(name)
        for name in seeds:
            if match := _OF_SEED.fullmatch(name):
                trained[match[1]] += 1
        end_of = {row["trial_id"]: row for row in ends}
        # A configuration suggested twice is one trial.
        unique = {row["trial_id"]: row for row in sorted(suggestions, key=lambda row: -row["number"])}
        configurations = {
            trial_id: {"epochs": usual_epochs, **json.loads(row["configuration"])} for trial_id, row in unique.items()
        }
        on_their_way = [trial_id for trial_id in unique if trial_id not in end_of and names[trial_id]]
        newest = {trial_id: _newest(names[trial_id], configurations[trial_id]["seeds"]) for trial_id in on_their_way}
        objectives = self._objectives.of({trial_id: (name, epochs[name]) for trial_id, name in newest.items()})
        return [
            _trial(row, configurations[trial_id], end_of.get(trial_id), objectives, len(names[trial_id]), trained)
            for trial_id, row in sorted(unique.items(), key=lambda item: item[1]["number"])
        ]


def planned_by(sweep: Mapping[str, Any], *, extend: int) -> Planned | None:
    """What the settings of a sweep allow; None where they say nothing of it, as those of an experiment.

    As `SweepPlan.num_trials` and `SweepPlan.budget_epochs` have it, which a test holds both to.

    Args:
        sweep: its row.
        extend: configurations per architecture that were added.
    """
    settings = json.loads(sweep["settings"]).get("sweep") if sweep["kind"] in (None, "sweep") else None
    if not settings:
        return None
    num_architectures, num_seeds = len(settings["architectures"]), len(settings["seeds"])
    num_trials = num_architectures * (settings["num_trials"] + extend)
    scheduler = settings.get("scheduler", "seed_epochs")  # of older versions
    if scheduler == "adaptive":
        of_all = num_architectures * (settings["num_trials"] + num_seeds - 1)
        epochs = settings["epochs"] * ((settings["budget"] or of_all) + num_architectures * extend)
        return Planned(num_trials=num_trials, seed_epochs=int(epochs), is_exact=False, begins_all=False)
    seed_epochs = num_trials * num_seeds * settings["epochs"]
    return Planned(num_trials=num_trials, seed_epochs=seed_epochs, is_exact=scheduler == "fifo")


def told_at(sweep: Mapping[str, Any], ends: Iterable[Mapping[str, Any]]) -> float:
    """When a sweep was last heard of, by what its own rows say."""
    return float(max(moment.timestamp() for moment in (sweep["started_at"], *(row["ended_at"] for row in ends))))


def _planned_of(trials: Iterable[TrialState]) -> Planned:
    trials = list(trials)
    seed_epochs = sum(trial.num_seeds * trial.epochs for trial in trials)
    return Planned(num_trials=len(trials), seed_epochs=seed_epochs, is_exact=True)


def _newest(names: Iterable[str], seeds: Sequence[int]) -> str:
    """The commit of the epoch that was trained last: seeds are trained in their order."""

    def place(name: str) -> tuple[int, int]:
        match = _OF_EPOCH.fullmatch(name)
        assert match
        seed = int(match[2])
        return (seeds.index(seed) if seed in seeds else -1, int(match[3]))

    return max(names, key=place)


def _trial(
    row: Mapping[str, Any],
    configuration: Mapping[str, Any],
    end: Mapping[str, Any] | None,
    objectives: Mapping[str, float],
    seed_epochs: int,
    trained: Mapping[str, int],
) -> TrialState:
    fate: Fate = end["state"] if end else "open" if seed_epochs else "waiting"
    return TrialState(
        trial_id=row["trial_id"],
        number=row["number"],
        architecture=row["architecture"],
        fold=row["fold"],
        fate=fate,
        num_seeds=len(set(configuration["seeds"])),
        num_seeds_complete=trained[row["trial_id"]],
        epochs=configuration["epochs"],
        seed_epochs=seed_epochs,
        objective=end["objective"] if end else objectives.get(row["trial_id"]),
    )


def _failure(row: Mapping[str, Any], trials: Mapping[str, TrialState]) -> FailureState:
    trial = trials.get(row["trial_id"])
    number, architecture = (trial.number, trial.architecture) if trial else (None, None)
    return FailureState(**row, number=number, architecture=architecture)


def _refuse_unknown_sweep(results: ResultsTable, sweep_id: str) -> None:
    known = sorted(partition.sweep_id for partition in partitions(results.store, "sweeps"))
    raise InvalidInput(
        "sweep",
        given=sweep_id,
        allowed=first_few(known, 12) or f"none: {results.store.uri} holds no sweep",
        remedy=f"{nearest_ids(sweep_id, known)}Choose a sweep that is there, or name another store.",
    )
