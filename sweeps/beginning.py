"""What is done once before a sweep's first trial, or when it is taken up: its row, how far it goes, and what
it learns from.

Enters: a plan. Leaves: the plan as everything recorded has it, and trials of earlier sweeps.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from storage.identity import canonical_json
from storage.results_table import ResultsTable
from sweeps.grid import grid_size
from sweeps.ledger import Ledger
from sweeps.plan import SweepPlan
from sweeps.records import TrialRecord
from sweeps.warm_start import take_earlier
from sweeps.what_changed import why_new


def begin(
    plan: SweepPlan, ledger: Ledger, row: Mapping[str, Any], *, say: Callable[[str], None]
) -> tuple[SweepPlan, list[TrialRecord]]:
    """Records the sweep and its extension, unless they are, and says what is new about it.

    Args:
        row: the remaining columns of the `sweeps` table.
        say: is told a line at a time.

    Returns:
        The plan, extended as far as this or any earlier command did, and trials of earlier sweeps to learn from.

    Raises:
        InvalidInput: sweep.warm_start names what cannot be taken; nothing is recorded then.
    """
    reason = why_new(plan, ResultsTable(ledger.store))
    if reason:
        say(reason)
    earlier = take_earlier(plan, ledger, say=say)
    ledger.start({"identity": canonical_json(plan.identity), **row})
    extended = _extended(plan, ledger, say)
    architectures = ", ".join(plan.settings.architectures)
    say(f"sweep {plan.sweep_id}: {extended.num_trials} trials over {architectures} on {plan.device}")
    _tell_of_grids(extended, say)
    _tell_of_rungs(extended, say)
    return extended, earlier


def _tell_of_grids(plan: SweepPlan, say: Callable[[str], None]) -> None:
    if plan.settings.sampler.kind != "grid":
        return
    for architecture in plan.settings.architectures:
        size = grid_size(plan.space(architecture), plan.settings.sampler.grid)
        if size > plan.trials_per_architecture:
            allowed = f"sweep.num_trials and sweep.extend allow {plan.trials_per_architecture}, the default among them"
            say(f"the grid of {architecture} has {size} configurations; {allowed}")


def _tell_of_rungs(plan: SweepPlan, say: Callable[[str], None]) -> None:
    """Says where rungs compare nothing, which an extension may change."""
    settings = plan.settings
    if settings.scheduler not in ("seed_epochs", "asha"):
        return
    brackets = range(settings.rungs.brackets)
    if not plan.rung_places(0):
        say(
            f"no rung lies below {settings.epochs} epochs (sweep.epochs, sweep.grace_epochs): no trial is stopped early"
        )
        return
    counts = Counter(plan.bracket_of(place) for place in range(plan.trials_per_architecture))
    alone = [bracket for bracket in brackets if counts[bracket] < 2 and plan.rung_places(bracket)]
    if len(brackets) > 1 and alone:
        dealt = ", ".join(str(counts[bracket]) for bracket in brackets)
        few = f"of each architecture's {plan.trials_per_architecture} configurations the brackets get {dealt}"
        say(f"{few}; a single one is compared with no other: give fewer sweep.rungs.brackets or more sweep.num_trials")


def _extended(plan: SweepPlan, ledger: Ledger, say: Callable[[str], None]) -> SweepPlan:
    asked, before = plan.settings.extend, ledger.extended()
    if asked > before:
        ledger.extend(asked)
        say(f"extended by {asked - before} configurations per architecture, {asked} in all")
    elif before > asked:
        say(f"this sweep was extended by {before} configurations per architecture before, and goes on as far")
    return dataclasses.replace(plan, settings=dataclasses.replace(plan.settings, extend=max(asked, before)))
