"""Where a study keeps its trials, so that what was said of one can be taken back."""

import copy

import optuna
from optuna.trial import FrozenTrial


class CorrectableTrials(optuna.storages.InMemoryStorage):
    """The trials of one study, which may be corrected: an adaptive sweep takes up again what it has put down, and a
    study made anew for each suggestion takes 2 s of 5,000 trials."""

    def correct(self, number: int, now: FrozenTrial) -> None:
        """Gives the study's trial `number` the state, the values and the curve of `now`."""
        (study,) = self.get_all_studies()
        with self._lock:
            trial_id = self.get_trial_id_from_study_id_trial_number(study._study_id, number)
            trial = copy.copy(self._get_trial(trial_id))
            trial.state, trial.values, trial.intermediate_values = now.state, now.values, now.intermediate_values
            trial.datetime_complete = now.datetime_complete
            self._set_trial(trial_id, trial)
