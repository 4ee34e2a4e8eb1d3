"""Turns of adaptive and of pausing sweeps, trained by a toy that knows every curve and may die anywhere."""

import hashlib
from typing import Any

from ledger_toys import epoch_metrics, record_seeds
from sweep_toys import SWEEP_ROW, make_plan

from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan
from sweeps.ledger import Ledger
from sweeps.records import Decision, RungDecision
from sweeps.replay import suggest_what_was_decided
from sweeps.rung_settings import RungSettings
from sweeps.turn_search import TurnSearch
from sweeps.turns import Turn

SEEDS, EPOCHS = (1, 2), 4


class Killed(Exception):
    """The process died here."""


def adaptive_plan(**settings: object) -> SweepPlan:
    values: dict[str, object] = {
        "scheduler": "adaptive",
        "architectures": ("cnn", "alexnet"),
        "num_trials": 12,
        "budget": 14.0,
        "seeds": SEEDS,
        "epochs": EPOCHS,
        "grace_epochs": 1,
        "reduction_factor": 2,
    }
    return make_plan(**{**values, **settings})


def pausing_plan(**settings: object) -> SweepPlan:
    """Halving that pauses, in two brackets."""
    return adaptive_plan(
        scheduler="seed_epochs", budget=0.0, num_trials=8, rungs=RungSettings(kind="pause", brackets=2), **settings
    )


class Toy:
    """Trains turns as a worker does: an epoch's row first, then the report. Dies after so many of its doings.

    Attributes:
        patience: epoch at which every seed stops early; None for none.
        decided: what was told of trials at rungs.
    """

    patience: int | None = None

    def __init__(self, plan: SweepPlan, store: LocalObjectStore, *, dies_after: int = 10**9) -> None:
        self._plan, self._left = plan, dies_after
        self.ledger = Ledger(ResultsTable(store), plan.sweep_id)
        self.ledger.start(SWEEP_ROW)
        decisions = self.ledger.decisions()
        records = suggest_what_was_decided(plan, self.ledger, self.ledger.records(), decisions)
        self.decided: list[RungDecision] = []
        self.search = TurnSearch(
            plan, self.ledger, records, decisions, on_decision=lambda architecture, what: self.decided.append(what)
        )
        self._reached = {
            record.suggestion.config.trial_id: max(record.objectives, default=0) for record in self.ledger.records()
        }
        self.running: list[Turn] = []

    def run(self, *, concurrency: int = 1) -> None:
        """Until the budget is spent; workers take turns, an epoch each."""
        while True:
            while len(self.running) < concurrency and (turn := self._next()) is not None:
                self.running.append(turn)
            if not self.running:
                break
            turn = self.running.pop(0)
            if self._epoch(turn):
                self.running.append(turn)
        for _ in self.search.put_down():
            self._doing()

    def _next(self) -> Turn | None:
        turn = self.search.next_turn()
        self._doing()
        return turn

    def outlive(self) -> None:
        """The workers of a process that died: each commits an epoch more, of which nobody hears."""
        for turn in self.running:
            self._commit(turn)

    def _epoch(self, turn: Turn) -> bool:
        trial_id = turn.suggestion.config.trial_id
        seed_epoch, objective = self._commit(turn)
        self._doing()
        ended = [seed for place, seed in enumerate(SEEDS) if (place + 1) * EPOCHS == seed_epoch]
        measured = {seed: {"num_parameters": 10.0} for seed in ended}
        self.search.hear(trial_id, seed_epoch=seed_epoch, objective=objective, measured=measured)
        goes_on = self.search.goes_on(trial_id)
        self._doing()
        if self.search.has_ended(trial_id):
            record_seeds(self.ledger, turn.suggestion.config)
            self.search.end(trial_id, "finished")
            self._doing()
            return False
        return goes_on

    def _commit(self, turn: Turn) -> tuple[int, float]:
        config = turn.suggestion.config
        seed_epoch = min(self._reached.get(config.trial_id, 0) + 1, EPOCHS * len(SEEDS))
        seed, epoch = divmod(seed_epoch - 1, EPOCHS)
        if epoch + 1 == self.patience:
            seed_epoch = (seed + 1) * EPOCHS
        objective = sum(_end(config.trial_id, before, EPOCHS) for before in range(seed))
        objective = (objective + _end(config.trial_id, seed, epoch + 1)) / (seed + 1)
        self.ledger.epoch(
            config,
            seed=SEEDS[seed],
            seed_epoch=seed_epoch,
            objective=objective,
            metrics=epoch_metrics(epoch + 1, objective),
        )
        self._reached[config.trial_id] = seed_epoch
        return seed_epoch, objective

    def _doing(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed


def _end(trial_id: str, seed: int, epoch: int) -> float:
    """A curve by the trial's name alone."""
    drawn = hashlib.sha256(f"{trial_id} {seed}".encode()).digest()
    quality = int.from_bytes(hashlib.sha256(trial_id.encode()).digest()[:2], "big") / 65_536
    return 0.4 + 0.3 * quality + 0.02 * drawn[0] / 255 - 0.2 / epoch


def told(ledger: Ledger) -> tuple[list[Any], list[Decision]]:
    """All that a sweep leaves behind."""
    records = [
        (record.suggestion.config.trial_id, record.state, record.objective, dict(record.objectives))
        for record in ledger.records()
    ]
    return records, ledger.decisions()
