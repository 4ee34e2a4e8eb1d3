"""A sweep's results for programs. Enters: a `SweepResults`. Leaves: one JSON object; no value is null, never NaN."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from reports.audit_of_stops import judged_stops
from reports.evidence import Comparison, Estimate
from reports.finalists import Finalist
from reports.finals import Finals, finals_of
from reports.leaderboard import as_json, leaderboard
from reports.sweep_results import SweepResults


def sweep_json(sweep: SweepResults) -> str:
    """Leaderboard, the statistics that the page shows, and what the audit of stopped trials found.

    `statistics.of` is the id whose rows they rest on: the confirmation's or the sweep's. The first of
    `statistics.configurations` is the best configuration.
    """
    rows = leaderboard(sweep)
    return as_json(
        {
            "sweep_id": sweep.sweep_id,
            "leaderboard": [asdict(row) for row in rows],
            "statistics": _statistics(sweep, finals_of(sweep, rows)),
            "audit": _audit(sweep),
        }
    )


def _statistics(sweep: SweepResults, finals: Finals) -> dict[str, Any]:
    return {
        "of": (finals.confirmation or sweep).sweep_id,
        "is_confirmation": finals.confirmation is not None,
        "num_failed": finals.num_failed,
        "begun_confirmation": None if finals.begun is None else finals.begun.source.sweep_id,
        "configurations": [_configuration(finals, finalist) for finalist in finals.finalists],
        "pairs": _pairs(finals),
        "in_no_pair": finals.test_reasons,
    }


def _configuration(finals: Finals, finalist: Finalist) -> dict[str, Any]:
    found = finals.score_of(finalist.number)
    estimates: Mapping[str, Estimate | None] = (
        {"test": None, "test_macro_f1": None, "test_untouched": None}
        if found is None
        else {"test": found.score, "test_macro_f1": found.macro_f1, "test_untouched": found.untouched}
    )
    return {
        "name": finalist.name,
        "architecture": finalist.architecture,
        "number": finalist.number,
        "configuration": dict(finalist.configuration),
        "trial_ids": list(finalist.fold_of_trial),
        "seeds": list(finalist.seeds),
        "validation_mean": finalist.validation_mean,
        "validation_std": finalist.validation_std,
        **{name: None if one is None else _estimate(one) for name, one in estimates.items()},
        "num_test_clips_untouched": None if found is None else found.num_untouched,
        "no_estimate": finals.reasons.get(finalist.name),
    }


def _estimate(found: Estimate) -> dict[str, Any]:
    interval = found.interval
    return {
        "mean": found.mean,
        "std": found.deviation,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "level": None if interval is None else interval.level,
        "num_clips": found.num_clips,
        "num_groups": found.num_groups,
        "num_folds": found.num_folds,
        "num_seeds": found.num_seeds,
    }


def _pairs(finals: Finals) -> list[dict[str, Any]]:
    tests = finals.tests
    if tests is None:
        return []
    return [
        {"first": first, "second": second, **_pair(one), "p_permutation_holm": tests.p_permutation[first, second]}
        for (first, second), one in tests.comparisons.items()
    ]


def _pair(found: Comparison) -> dict[str, Any]:
    return {
        "difference": _estimate(found.estimate),
        "p": found.p_value,
        "p_holm": found.p_adjusted,
        "p_permutation": found.p_permutation,
        "hedges_g": found.standardised,
        "superiority": found.superiority,
        "detectable": found.detectable,
        "more_seeds": found.more_seeds,
    }


def _audit(sweep: SweepResults) -> dict[str, Any] | None:
    """None where nothing was audited."""
    judged = judged_stops(sweep)
    if not judged.audited or judged.interval is None:
        return None
    return {
        "num_stopped": judged.num_stopped,
        "num_audited": judged.num_audited,
        "num_would_lead": judged.num_would_lead,
        "share": judged.share,
        "low": judged.interval.low,
        "high": judged.interval.high,
        "level": judged.interval.level,
        "mean_regret": judged.mean_regret,
        "largest_regret": judged.largest_regret,
    }
