"""A sweep that takes turns, adaptive or pausing: which trial trains next and how far, by `allocation`, with every
decision in the ledger.

Enters: a plan and what the ledger has. Leaves: turns, one at a time, each a trial and the seed-epoch to train it to. A
trial that has come to the end of its turn is put down and may be taken up again: its checkpoint stays until the sweep's
budget is spent. Rebuilt from the ledger it decides as it would have; knows no Ray.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from sweeps.allocation import Allocator, Ladder, Promotions, Scores, Step
from sweeps.objectives import Measured
from sweeps.past_decisions import as_at, live_decisions
from sweeps.plan import SweepPlan
from sweeps.records import Decision, RungDecision, Suggestion, TrialRecord, TrialState
from sweeps.rungs import seed_milestones
from sweeps.studies import Studies
from sweeps.turns import SearchedTrial, SearchLedger, Turn

_NOTHING: Measured = {}


class TurnSearch:
    """Holds every trial of a sweep: its place among the scores, how far it has come and how far it was sent.

    Args:
        records, decisions: of the ledger, in the order of their numbers.
        earlier: trials of other sweeps that suggestions learn from; decisions do not know them.
        on_decision: hears what is decided of a trial that was begun, with its architecture.
    """

    def __init__(
        self,
        plan: SweepPlan,
        ledger: SearchLedger,
        records: Iterable[TrialRecord],
        decisions: Iterable[Decision],
        earlier: Sequence[TrialRecord] = (),
        on_decision: Callable[[str, RungDecision], None] = lambda architecture, decision: None,
    ) -> None:
        settings = plan.settings
        self._plan, self._ledger, self._on_decision = plan, ledger, on_decision
        self._scores = Scores(
            seed_milestones(
                grace_epochs=settings.grace_epochs,
                reduction_factor=settings.reduction_factor,
                epochs=settings.epochs,
            ),
            num_seeds=len(settings.seeds),
            num_architectures=len(settings.architectures),
        )
        self._chooser = _chooser(plan, self._scores)
        self._trials: list[SearchedTrial] = []
        self._row_of: dict[str, int] = {}
        self._exhausted: set[int] = set()
        self._studies = Studies(plan, earlier)
        self._num_decisions = 0
        self._sent: list[int] = []  # rows that were on their way when an earlier process ended
        records, decisions = list(records), list(decisions)
        for record in records:
            self._take_up(record)
        for decision in live_decisions(decisions, records):
            self._remember(decision)
        # A number that was given away is never given again, whatever came of it.
        self._num_decisions = max((decision.number + 1 for decision in decisions), default=0)

    def next_turn(self) -> Turn | None:
        """What to train next; None when the budget is spent, or all that is worth training is being trained."""
        if self._sent:
            return self._turn(self._sent.pop(0))
        while True:
            step = self._next_step()
            if step is None:
                return None
            if step.row is not None:
                self._heard_of(step.row, "take_up")
                return self._send(step.row, step)
            suggestion = self._new(step.architecture)
            if suggestion is not None:
                # The decision comes first; `suggest_what_was_decided` does the rest for a process that dies here.
                until = self._decide(suggestion, step)
                self._ledger.suggest(suggestion)
                row = self._add(suggestion)
                self._trials[row].until = until
                return self._turn(row)

    def decide_anew(self) -> Turn | None:
        """The next turn, leaving alone those that were on their way when an earlier process ended."""
        self._sent.clear()
        return self.next_turn()

    def hear(self, trial_id: str, *, seed_epoch: int, objective: float, measured: Measured = _NOTHING) -> None:
        """Takes an epoch's report; what was heard before changes nothing."""
        row = self._row_of[trial_id]
        trial = self._trials[row]
        trial.measured.update(measured)
        if seed_epoch <= trial.reached:
            return
        epochs = self._plan.settings.epochs
        seed, epoch = divmod(seed_epoch - 1, epochs)
        trial.reached, trial.objectives[seed_epoch] = seed_epoch, objective
        score = objective * (seed + 1) - sum(trial.ends[:seed])  # the objective is the mean of the seeds begun
        for milestone in range(int(self._scores.level_NS[row, seed]) + 1, len(self._scores.milestones)):
            if epoch + 1 >= self._scores.milestones[milestone]:
                self._scores.record(row, seed, milestone, score)
        if epoch + 1 == epochs:
            trial.ends.append(score)

    def goes_on(self, trial_id: str) -> bool:
        """Whether a trial that was heard of trains on: to the end of its turn, or as it gets the next one, too."""
        row = self._row_of[trial_id]
        trial = self._trials[row]
        if trial.until is None or trial.reached < trial.until or trial.reached >= self._whole:
            return trial.until is not None
        trial.until = None
        goes_on = not self._sent and self._goes_on_at_once(row)
        self._heard_of(row, "go_on" if goes_on else "pause")
        return goes_on

    def end(self, trial_id: str, state: TrialState) -> TrialRecord:
        """Closes a trial for good and records it."""
        trial = self._trials[self._row_of[trial_id]]
        trial.until, trial.state = None, state
        record = trial.record()
        self._ledger.end(
            trial.suggestion,
            state=state,
            seed_epochs=trial.reached,
            objective=record.objective,
            known_from=self._num_decisions,
        )
        return record

    def give_up(self, trial_id: str) -> None:
        """Leaves a trial alone in this process; it stays open in the ledger."""
        trial = self._trials[self._row_of[trial_id]]
        trial.until, trial.state = None, "failed"

    def has_ended(self, trial_id: str) -> bool:
        return self._trials[self._row_of[trial_id]].reached >= self._whole

    def put_down(self) -> Iterator[TrialRecord]:
        """Ends all trials that were left on the way when the budget was spent: they are stopped."""
        for trial in self._trials:
            if trial.state is None and trial.until is None:
                self._on_decision(trial.suggestion.config.architecture, "stop")
                yield self.end(trial.suggestion.config.trial_id, "stopped")

    def stand_as_at(self, decision: Decision, records: Mapping[str, TrialRecord], sent: Mapping[str, int]) -> None:
        """Brings the trials to where they stood when a decision was made; for `replay`, which knows what came of them.

        Args:
            records: by trial.
            sent: trial → the seed-epoch to which it had been sent.
        """
        for trial in self._trials:
            then = as_at(decision, records[trial.trial_id], sent[trial.trial_id])
            for seed_epoch, objective in then.objectives.items():
                self.hear(trial.trial_id, seed_epoch=seed_epoch, objective=objective, measured=then.measured)
            trial.state = then.state
            is_on_its_way = then.state is None and trial.trial_id in decision.heard
            trial.until = sent[trial.trial_id] if is_on_its_way else None

    @property
    def _whole(self) -> int:
        return self._plan.settings.epochs * len(self._plan.settings.seeds)

    def _epochs_left(self) -> float:
        spent = sum(max(trial.reached, trial.until or 0) for trial in self._trials)
        return self._plan.budget_epochs - spent

    def _may_begin(self) -> list[int]:
        counts = np.bincount(self._scores.architecture_N, minlength=self._scores.num_architectures)
        return [
            index
            for index, count in enumerate(counts)
            if count < self._plan.trials_per_architecture and index not in self._exhausted
        ]

    def _new(self, architecture: int) -> Suggestion | None:
        """A configuration that has not been tried; None where the space has no other."""
        name = self._plan.settings.architectures[architecture]
        of_study = [trial for trial in self._trials if trial.suggestion.config.architecture == name]
        for trial in of_study:
            self._tell(trial)
        suggestion = self._studies.suggest_for(name, place=len(of_study), number=len(self._trials))
        if suggestion is None:
            self._exhausted.add(architecture)
        return suggestion

    def _tell(self, trial: SearchedTrial) -> None:
        """Lets its study know where a trial stands, if that has changed."""
        now = (trial.state, trial.until is None, trial.reached)
        if trial.told != now:
            self._studies.correct(trial.as_told())
            trial.told = now

    def _add(self, suggestion: Suggestion) -> int:
        row = self._scores.add(self._plan.settings.architectures.index(suggestion.config.architecture))
        self._trials.append(SearchedTrial(suggestion))
        self._row_of[suggestion.config.trial_id] = row
        return row

    def _heard_of(self, row: int, decision: RungDecision) -> None:
        self._on_decision(self._trials[row].suggestion.config.architecture, decision)

    def _send(self, row: int, step: Step) -> Turn:
        trial = self._trials[row]
        trial.until = self._decide(trial.suggestion, step)
        return self._turn(row)

    def _decide(self, suggestion: Suggestion, step: Step) -> int:
        """Records a decision and returns the seed-epoch that it leads to."""
        until = step.seed * self._plan.settings.epochs + int(self._scores.milestones[step.milestone])
        decision = Decision(
            number=self._num_decisions,
            trial_id=suggestion.config.trial_id,
            seed=self._plan.settings.seeds[step.seed],
            until=until,
            rate=step.rate,
            heard={trial.trial_id: trial.reached for trial in self._trials if trial.until is not None},
        )
        self._ledger.decide(decision)
        self._num_decisions += 1
        return until

    def _goes_on_at_once(self, row: int) -> bool:
        """Whether the next step is this trial's: its process then goes on instead of being started anew."""
        step = self._next_step()
        if step is None or step.row != row:
            return False
        self._send(row, step)
        return True

    def _next_step(self) -> Step | None:
        trials = list(enumerate(self._trials))
        return self._chooser.next_step(
            epochs_left=self._epochs_left(),
            may_begin=self._may_begin(),
            busy=[row for row, trial in trials if trial.until is not None or trial.state is not None],
            # Those that finished are what others have to be better than.
            closed=[row for row, trial in trials if trial.state in ("stopped", "failed")],
        )

    def _turn(self, row: int) -> Turn:
        trial = self._trials[row]
        assert trial.until is not None
        return Turn(suggestion=trial.suggestion, until=trial.until)

    def _take_up(self, record: TrialRecord) -> None:
        row = self._add(record.suggestion)
        for seed_epoch, objective in sorted(record.objectives.items()):
            self.hear(
                record.suggestion.config.trial_id, seed_epoch=seed_epoch, objective=objective, measured=record.measured
            )
        trial = self._trials[row]
        trial.state = record.state
        if record.state is None and trial.reached >= self._whole:  # its end, or rows of it, are missing
            trial.until = self._whole
            self._sent.append(row)
        self._studies.restore([trial.as_told()])

    def _remember(self, decision: Decision) -> None:
        row = self._row_of[decision.trial_id]
        trial = self._trials[row]
        if trial.state is None and trial.reached < decision.until:
            trial.until = decision.until
            if row not in self._sent:
                self._sent.append(row)


def _chooser(plan: SweepPlan, scores: Scores) -> Allocator | Promotions:
    settings = plan.settings
    if settings.scheduler == "adaptive":
        return Allocator(scores, plan.budget_epochs)
    ladder = Ladder(
        reduction_factor=settings.reduction_factor,
        num_brackets=settings.rungs.brackets,
        bracket_of=plan.bracket_of,
        never_stop_first=settings.rungs.never_stop_first,
        compares_seeds=settings.scheduler == "seed_epochs",
    )
    return Promotions(scores, ladder)
