"""What to try next: one Optuna study per architecture, asked and told.

A suggestion depends on the sweep's searcher seed, the architecture, its place in the study and the results told
before it, and on nothing else: studies are rebuilt from the ledger in any process and suggest the same.
"""

from collections.abc import Iterable, Iterator

import optuna
from optuna.distributions import json_to_distribution
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState

from search_spaces.values import Value
from storage.identity import derive_seed
from sweeps.cma_es import next_numbers
from sweeps.correctable_trials import CorrectableTrials
from sweeps.grid import Grid
from sweeps.objectives import DIRECTIONS, values_of
from sweeps.plan import SweepPlan
from sweeps.records import Suggestion, TrialRecord
from sweeps.samplers import make_sampler

_ATTEMPTS = 25
_STATES = {
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    None: TrialState.RUNNING,
}


class Studies:
    """The studies of one sweep. Single-threaded; the ledger, not the studies, is what survives.

    Args:
        earlier: trials of other sweeps that the samplers are to learn from, of `warm_start.take_earlier`.
    """

    def __init__(self, plan: SweepPlan, earlier: Iterable[TrialRecord] = ()) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it warns of is not for who runs a sweep
        self._plan = plan
        architectures = plan.settings.architectures
        directions = [DIRECTIONS[name] for name in plan.settings.objectives]
        self._studies = {
            name: optuna.create_study(directions=directions, storage=CorrectableTrials()) for name in architectures
        }
        self._compared = {name: IntersectionSearchSpace(include_pruned=True) for name in architectures}
        self._grids = {name: self._grid(name) for name in architectures if plan.settings.sampler.kind == "grid"}
        self._grid_places = dict.fromkeys(architectures, 0)  # all points before have been tried
        self._told: dict[str, dict[str, TrialRecord]] = {name: {} for name in architectures}  # those that have ended
        self._number_of: dict[str, int] = {}  # trial_id → number in its study
        for record in earlier:
            self._studies[record.suggestion.config.architecture].add_trial(self._frozen(record))

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Takes up an earlier process's trials, in the order of their numbers; those not ended count as running."""
        for record in records:
            suggestion = record.suggestion
            study = self._studies[suggestion.config.architecture]
            self._number_of[suggestion.config.trial_id] = len(study.get_trials(deepcopy=False))
            study.add_trial(self._frozen(record))
            self._remember(record)

    def correct(self, record: TrialRecord) -> None:
        """Says what a trial that was restored or suggested is now, whatever was said before: one that was told as
        stopped may run again. The suggestions that follow are those of studies that had never heard anything else."""
        storage = self._studies[record.suggestion.config.architecture]._storage
        assert isinstance(storage, CorrectableTrials)
        storage.correct(self._number_of[record.suggestion.config.trial_id], self._frozen(record))
        self._remember(record)

    def suggest(self, number: int) -> Suggestion | None:
        """The sweep's trial `number`, or None if the space offers nothing that has not been tried."""
        architecture, place = self._plan.architecture_of(number)
        return self.suggest_for(architecture, place=place, number=number)

    def suggest_for(self, architecture: str, *, place: int, number: int) -> Suggestion | None:
        """The architecture's trial `place`, which is the sweep's trial `number`; None as above."""
        space, study = self._plan.space(architecture), self._studies[architecture]
        for attempt, given in enumerate(self._given(architecture, place)):
            if given:
                study.enqueue_trial(given)
            study.sampler = self._sampler(architecture, place, attempt)
            trial = study.ask(dict(space.distributions))
            config = self._plan.trial_config(architecture, trial.params)
            if config.trial_id not in self._number_of:
                self._number_of[config.trial_id] = trial.number
                return Suggestion(
                    number=number,
                    config=config,
                    parameters=trial.params,
                    distributions=space.distributions_json,
                    untuned_default=place == 0,
                )
            study.tell(trial.number, state=TrialState.FAIL)
        return None

    def tell(self, record: TrialRecord) -> None:
        """Tells how a trial ended: stopped ones as PRUNED with their curve, so that an objective of epoch 3 is never
        compared with one of epoch 75; failed ones as FAIL, which no sampler takes for a bad score."""
        study = self._studies[record.suggestion.config.architecture]
        number = self._number_of[record.suggestion.config.trial_id]
        frozen = self._frozen(record)
        trial = optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
        for step, value in frozen.intermediate_values.items():
            trial.report(value, step)
        study.tell(number, frozen.values if frozen.state == TrialState.COMPLETE else None, state=frozen.state)
        self._remember(record)

    def _remember(self, record: TrialRecord) -> None:
        of_study, trial_id = self._told[record.suggestion.config.architecture], record.suggestion.config.trial_id
        if record.state is None:
            of_study.pop(trial_id, None)
        else:
            of_study[trial_id] = record

    def _given(self, architecture: str, place: int) -> Iterator[dict[str, Value]]:
        """What is given to a trial, attempt by attempt, until one has not been tried; the sampler draws the rest."""
        space = self._plan.space(architecture)
        if place == 0:
            yield {name: space.default[name] for name in space.distributions}
            return
        yield from self._plan.points(architecture)[place - 1 : place]
        if architecture in self._grids:
            yield from self._untried(architecture)
            return
        for attempt in range(_ATTEMPTS):
            yield self._cma_es(architecture, place, attempt) if self._plan.settings.sampler.kind == "cmaes" else {}

    def _sampler(self, architecture: str, place: int, attempt: int) -> optuna.samplers.BaseSampler:
        settings = self._plan.settings
        seed = derive_seed("searcher", settings.searcher_seed, architecture, place, attempt) % 2**32
        return make_sampler(
            settings.sampler,
            compared=self._compared[architecture],
            num_trials=settings.num_trials,
            seed=seed,
            attempt=attempt,
        )

    def _cma_es(self, architecture: str, place: int, attempt: int) -> dict[str, Value]:
        told = sorted(self._told[architecture].values(), key=lambda record: record.told_at)
        seed = derive_seed("cmaes", self._plan.settings.searcher_seed, architecture, place, attempt)
        return {**next_numbers(self._plan.space(architecture), told, seed=seed)}

    def _grid(self, architecture: str) -> Grid:
        settings = self._plan.settings
        return Grid(self._plan.space(architecture), settings.sampler.grid, searcher_seed=settings.searcher_seed)

    def _untried(self, architecture: str) -> Iterator[dict[str, Value]]:
        """The grid's points from where it was left; a process goes through them once."""
        grid = self._grids[architecture]
        while self._grid_places[architecture] < len(grid):
            point = grid[self._grid_places[architecture]]
            self._grid_places[architecture] += 1
            if self._plan.trial_config(architecture, point).trial_id not in self._number_of:
                yield point

    def _frozen(self, record: TrialRecord) -> FrozenTrial:
        """A trial as its study has it. With several objectives Optuna knows no curves: a stopped trial then ranks
        behind all that finished, with the other stopped ones, and one that lacks a measurement counts as failed."""
        objectives, suggestion = self._plan.settings.objectives, record.suggestion
        state, values = _STATES[record.state], None
        if state == TrialState.COMPLETE:
            seeds = suggestion.config.seeds
            values = values_of(objectives, score=record.objective, measured=record.measured, seeds=seeds)
            state = TrialState.COMPLETE if values else TrialState.FAIL
        return optuna.create_trial(
            state=state,
            params=dict(suggestion.parameters),
            distributions={name: json_to_distribution(text) for name, text in suggestion.distributions.items()},
            values=values,
            intermediate_values=dict(record.objectives) if len(objectives) == 1 and record.state else {},
        )
