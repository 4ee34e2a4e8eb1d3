"""What to try next: one Optuna study per architecture, asked and told; the only file that imports optuna here.

A suggestion depends on the sweep's searcher seed, the architecture, its place in the study and the results told
before it, and on nothing else: studies are rebuilt from the ledger in any process and suggest the same.
"""

import copy
import datetime
import warnings
from collections.abc import Iterable, Mapping

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState

from storage.identity import derive_seed
from sweeps.ledger import Suggestion, TrialRecord
from sweeps.plan import SweepPlan

_ATTEMPTS = 25
_STATES = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}


class Studies:
    """The studies of one sweep. Single-threaded; the ledger, not the studies, is what survives."""

    def __init__(self, plan: SweepPlan) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._plan = plan
        self._studies = {
            architecture: optuna.create_study(direction="maximize", storage=_Trials())
            for architecture in plan.settings.architectures
        }
        self._compared = {name: IntersectionSearchSpace(include_pruned=True) for name in plan.settings.architectures}
        self._numbers: dict[str, int] = {}  # trial_id → number in its study

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Takes up an earlier process's trials, in the order of their numbers; those not ended count as running."""
        for record in records:
            suggestion = record.suggestion
            study = self._studies[suggestion.config.architecture]
            self._numbers[suggestion.config.trial_id] = len(study.get_trials(deepcopy=False))
            if record.state is None:
                study.add_trial(_frozen(suggestion, TrialState.RUNNING, None, {}))
            else:
                study.add_trial(_frozen(suggestion, _STATES[record.state], record.objective, record.objectives))

    def correct(self, record: TrialRecord) -> None:
        """Says what a trial that was restored or suggested is now, whatever was said before: one that was told as
        stopped may run again. The suggestions that follow are those of studies that had never heard anything else."""
        study = self._studies[record.suggestion.config.architecture]
        storage, number = study._storage, self._numbers[record.suggestion.config.trial_id]
        assert isinstance(storage, _Trials)
        if record.state is None:
            storage.correct(number, TrialState.RUNNING, None, {})
        else:
            storage.correct(number, _STATES[record.state], record.objective, record.objectives)

    def suggest(self, number: int) -> Suggestion | None:
        """The sweep's trial `number`, or None if the space offers nothing that has not been tried."""
        architecture, place = self._plan.architecture_of(number)
        return self.suggest_for(architecture, place=place, number=number)

    def suggest_for(self, architecture: str, *, place: int, number: int) -> Suggestion | None:
        """The architecture's trial `place`, which is the sweep's trial `number`; None as above."""
        space, study = self._plan.space(architecture), self._studies[architecture]
        for attempt in range(1 if place == 0 else _ATTEMPTS):
            if place == 0:
                study.enqueue_trial({name: space.default[name] for name in space.distributions})
            study.sampler = self._sampler(architecture, place, attempt)
            trial = study.ask(dict(space.distributions))
            config = self._plan.trial_config(architecture, trial.params)
            if config.trial_id not in self._numbers:
                self._numbers[config.trial_id] = trial.number
                return Suggestion(
                    number=number,
                    config=config,
                    parameters=trial.params,
                    distributions={name: distribution_to_json(kind) for name, kind in space.distributions.items()},
                    untuned_default=place == 0,
                )
            study.tell(trial.number, state=TrialState.FAIL)
        return None

    def tell(self, record: TrialRecord) -> None:
        """Tells how a trial ended: stopped ones as PRUNED with their curve, so that an objective of epoch 3 is never
        compared with one of epoch 75; failed ones as FAIL, which no sampler takes for a bad score."""
        assert record.state is not None
        trial_id = record.suggestion.config.trial_id
        study = self._studies[record.suggestion.config.architecture]
        number = self._numbers[trial_id]
        trial = optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
        for step, value in record.objectives.items():
            trial.report(value, step)
        final = record.objective if record.state == "finished" else None
        study.tell(number, final, state=_STATES[record.state])

    def _sampler(self, architecture: str, place: int, attempt: int) -> optuna.samplers.TPESampler:
        # Optuna's ten random start-up trials would be all there is of a small sweep.
        num_random = min(10, max(2, self._plan.settings.num_trials // 3))
        seed = derive_seed("searcher", self._plan.settings.searcher_seed, architecture, place, attempt) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return _Tpe(self._compared[architecture], seed=seed, num_random=num_random)


class _Trials(optuna.storages.InMemoryStorage):
    """The trials of one study, which may be corrected: an adaptive sweep takes up again what it has put down, and a
    study made anew for each suggestion takes 2 s of 5,000 trials."""

    def correct(self, number: int, state: TrialState, objective: float | None, objectives: Mapping[int, float]) -> None:
        (study,) = self.get_all_studies()
        with self._lock:
            trial_id = self.get_trial_id_from_study_id_trial_number(study._study_id, number)
            trial = copy.copy(self._get_trial(trial_id))
            trial.state, trial.intermediate_values = state, dict(objectives)
            trial.values = [objective] if state == TrialState.COMPLETE and objective is not None else None
            trial.datetime_complete = datetime.datetime.now() if state.is_finished() else None
            self._set_trial(trial_id, trial)


class _Tpe(optuna.samplers.TPESampler):
    """A sampler for one suggestion, which need not compare the spaces of all trials for it: what was compared before is
    known. With 3,000 trials that was half of a suggestion's 78 ms (optuna 5.0, 2026-11-21)."""

    def __init__(self, compared: IntersectionSearchSpace, *, seed: int, num_random: int) -> None:
        super().__init__(seed=seed, n_startup_trials=num_random, multivariate=True, constant_liar=True)
        self._compared = compared

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        found = self._compared.calculate(study, use_cache=True)
        return {name: kind for name, kind in found.items() if not kind.single()}


def _frozen(
    suggestion: Suggestion, state: TrialState, objective: float | None, objectives: Mapping[int, float]
) -> FrozenTrial:
    return optuna.create_trial(
        state=state,
        params=dict(suggestion.parameters),
        distributions={name: json_to_distribution(text) for name, text in suggestion.distributions.items()},
        value=objective if state == TrialState.COMPLETE else None,
        intermediate_values=dict(objectives),
    )
