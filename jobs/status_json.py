"""Where sweeps stand, for programs. Enters: what the results table has. Leaves: JSON, an object on one line."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from jobs.status_lines import SweepView, best_trial
from storage.sweep_list import SweepSummary
from storage.sweep_state import FATES, SweepState, TrialState


def list_json(summaries: Iterable[SweepSummary]) -> str:
    """{"sweeps": […]}; moments in ISO 8601, UTC."""
    sweeps = [{**dataclasses.asdict(summary), "newest_at": _iso(summary.newest_at)} for summary in summaries]
    return json.dumps({"sweeps": sweeps}, default=datetime.isoformat)


def sweep_json(view: SweepView, following: Iterable[SweepView]) -> str:
    """A sweep, and under `follow_ups` its confirmations and audits; what is unknown is null."""
    follow_ups = [_sweep(one) for one in following]
    return json.dumps({**_sweep(view), "follow_ups": follow_ups}, default=datetime.isoformat)


def _sweep(view: SweepView) -> dict[str, Any]:
    state, ahead = view.state, view.outlook
    return {
        "sweep_id": state.sweep_id,
        "kind": state.kind,
        "of_sweep": state.of_sweep,
        "dataset": state.dataset,
        "started_at": state.started_at,
        "looked_at": _iso(view.now),
        "newest_at": _iso(state.newest_at),
        "is_over": state.is_over,
        "planned": dataclasses.asdict(state.planned),
        "num_suggested": len(state.trials),
        "num_ended": state.num_ended,
        "seed_epochs": state.seed_epochs,
        "outlook": {
            **dataclasses.asdict(ahead),
            "most_minutes": ahead.most_minutes,
            "likely_minutes": ahead.likely_minutes,
        },
        "architectures": _architectures(state),
        "failures": [dataclasses.asdict(failure) for failure in state.failures],
    }


def _architectures(state: SweepState) -> dict[str, Any]:
    names = dict.fromkeys(trial.architecture for trial in state.trials)
    return {name: _architecture([one for one in state.trials if one.architecture == name]) for name in names}


def _architecture(trials: Sequence[TrialState]) -> dict[str, Any]:
    counts, best = Counter(trial.fate for trial in trials), best_trial(trials)
    return {
        "trials": {fate: counts[fate] for fate in FATES},
        "seed_epochs": sum(trial.seed_epochs for trial in trials),
        "num_seeds_complete": sum(trial.num_seeds_complete for trial in trials),
        "best": None if best is None else dataclasses.asdict(best),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
