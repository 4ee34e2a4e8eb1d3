"""What a sweep's scheduler decided: where it compared trials and stopped some, or which one it sent on next.

Enters: a `SweepResults`. Leaves: rungs of a sweep that stops trials at milestones, turns of an adaptive one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from reports.sweep_results import SweepResults
from reports.trials import TrialSummary

TurnKind = Literal["new configuration", "more epochs", "further seed"]
TURN_KINDS: tuple[TurnKind, ...] = ("new configuration", "more epochs", "further seed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """Where trials of one architecture were compared, as far as its rows tell: some were stopped there.

    Attributes:
        num_reached, num_stopped: trials that came so far, and those that ended there.
        best: highest objective at the rung.
        best_stopped: highest objective of those stopped; None where it was not recorded.
        lowest_kept: lowest objective of those that went on; None where none did.
    """

    architecture: str
    seed_epochs: int
    num_reached: int
    num_stopped: int
    best: float
    best_stopped: float | None
    lowest_kept: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One decision of an adaptive sweep: a trial was sent on.

    Attributes:
        kind: `more epochs` are those of its first seed; all that it trains of others counts as further seeds.
        number: of the trial.
        begins, until: seed-epochs.
        rate: by how much the best mean was expected to rise per epoch; None for what every sweep begins with.
    """

    decision: int
    trial_id: str
    number: int
    architecture: str
    kind: TurnKind
    seed: int
    begins: int
    until: int
    rate: float | None


def rungs(sweep: SweepResults, trials: Iterable[TrialSummary]) -> list[Rung]:
    """By architecture and seed-epoch; those at which nobody was stopped left no trace and are not told."""
    trials = [trial for trial in trials if trial.state != "failed"]
    stops = sorted({(trial.architecture, trial.seed_epochs) for trial in trials if trial.state == "stopped"})
    found = (_rung(sweep, trials, architecture, seed_epochs) for architecture, seed_epochs in stops)
    return [rung for rung in found if rung is not None]


def turns(sweep: SweepResults) -> list[Turn]:
    """In the order of the decisions; void ones, whose trial was never suggested, are left out."""
    planned = {str(row["trial_id"]): row for row in sweep.suggestions.to_dict("records")}
    first_seeds: dict[str, int] = {}
    ends: dict[str, int] = {}  # trial → where its last turn ended
    found = []
    for row in sweep.decisions.to_dict("records"):
        trial_id = str(row["trial_id"])
        if trial_id not in planned:
            continue
        begins, seed = ends.get(trial_id, 0), int(row["seed"])
        is_first = seed == first_seeds.setdefault(trial_id, seed)
        kind: TurnKind = "new configuration" if not begins else "more epochs" if is_first else "further seed"
        ends[trial_id] = int(row["until"])
        found.append(
            Turn(
                decision=int(row["decision"]),
                trial_id=trial_id,
                number=int(planned[trial_id]["number"]),
                architecture=str(planned[trial_id]["architecture"]),
                kind=kind,
                seed=seed,
                begins=begins,
                until=int(row["until"]),
                rate=None if pd.isna(row["rate"]) else float(row["rate"]),
            )
        )
    return found


def _rung(sweep: SweepResults, trials: Iterable[TrialSummary], architecture: str, seed_epochs: int) -> Rung | None:
    rows = sweep.epochs[sweep.epochs["seed_epoch"] == seed_epochs]
    objectives = dict(zip(rows["trial_id"], rows["objective"], strict=True))
    of_architecture = [trial for trial in trials if trial.architecture == architecture]
    there = [trial for trial in of_architecture if trial.trial_id in objectives]
    if not there:
        return None
    ended = {trial.trial_id for trial in there if trial.state == "stopped" and trial.seed_epochs == seed_epochs}
    kept = [objectives[trial.trial_id] for trial in there if trial.trial_id not in ended]
    return Rung(
        architecture=architecture,
        seed_epochs=seed_epochs,
        num_reached=len(there),
        num_stopped=len(ended),
        best=max(objectives[trial.trial_id] for trial in there),
        best_stopped=max((objectives[trial_id] for trial_id in ended), default=None),
        lowest_kept=min(kept, default=None),
    )
