"""The search: Optuna suggests, Ray Tune runs, successive halving stops, and the results table remembers."""

from sweeps.plan import SweepPlan, SweepSettings
from sweeps.run_sweep import SweepOutcome, run_sweep

__all__ = ["SweepOutcome", "SweepPlan", "SweepSettings", "run_sweep"]
