"""The search: Optuna suggests, Ray Tune runs, successive halving stops, and the results table remembers.

And what is trained without a search: experiments, one configuration cross-validated over folds and seeds.
"""

from sweeps.experiment import ExperimentPlan, ExperimentSettings
from sweeps.plan import SweepPlan
from sweeps.run_experiment import run_experiment
from sweeps.run_sweep import SweepOutcome, run_sweep
from sweeps.sweep_settings import SweepSettings

__all__ = [
    "ExperimentPlan",
    "ExperimentSettings",
    "SweepOutcome",
    "SweepPlan",
    "SweepSettings",
    "run_experiment",
    "run_sweep",
]
