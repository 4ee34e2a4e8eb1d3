"""One trial: features → batches on the device → model → metrics. Knows no Ray and no results table."""

from training.config import TrialConfig
from training.data import TrialData, load_trial_data
from training.moments import Moments, moments, stored_train_moments
from training.run_trial import TrialResult, run_trial
from training.seed_run import SeedResult
from training.steps import TrainingFailed

__all__ = [
    "Moments",
    "SeedResult",
    "TrainingFailed",
    "TrialConfig",
    "TrialData",
    "TrialResult",
    "load_trial_data",
    "moments",
    "run_trial",
    "stored_train_moments",
]
