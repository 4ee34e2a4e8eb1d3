"""How the sweep searched: where trials were stopped, or which of them took turns. Leaves: a section."""

from collections.abc import Sequence

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.chosen_by import chosen_by
from reports.markup import Markup, element
from reports.sweep_results import SweepResults
from reports.tables import folded, table
from reports.text import NO_VALUE, counted, percent
from reports.trials import TrialSummary
from reports.turns import TURN_KINDS, Rung, Turn, rungs, turns

RUNGS = "What was stopped where"


def rungs_section(sweep: SweepResults, trials: Sequence[TrialSummary]) -> Markup:
    """Every trial's curve with what was decided along it, and the same as a table."""
    trained = [trial for trial in trials if trial.seed_epochs]
    if not trained:
        return section(RUNGS, empty("No trial has trained an epoch yet."))
    decided = turns(sweep)
    marks = (
        "Open marks: where the sweep sent a trial on (a new configuration, more epochs of its seed, or of others)."
        if decided
        else "Dotted: where it stopped trials."
    )
    figure = plotted(
        "Objective by epochs spent",
        plots.rung_picture(sweep, trained, decided),
        f"All {counted(len(trained), 'trial')} that trained; one faint line each, its mark says how it ended. "
        "A seed-epoch is one epoch of one seed, so a line runs on through the further seeds of its trial. The "
        f"objective is the validation {chosen_by(sweep).name} that the scheduler compared. {marks}",
    )
    as_table = _turns_table(decided) if decided else _rungs_table(sweep, rungs(sweep, trials))
    return section(RUNGS, figure, as_table)


def _rungs_table(sweep: SweepResults, found: Sequence[Rung]) -> Markup | None:
    if not found:
        return empty("Nothing has been stopped.")
    told = chosen_by(sweep).told
    names = ("seed-epochs", "trials that came so far", "stopped here", "best", "best stopped", "lowest that went on")
    header = [("architecture", "name"), *((name, "number") for name in names)]
    cells = [
        (
            rung.architecture,
            rung.seed_epochs,
            rung.num_reached,
            rung.num_stopped,
            told(rung.best),
            told(rung.best_stopped),
            told(rung.lowest_kept),
        )
        for rung in found
    ]
    text = (
        "Where trials of an architecture were compared and some of them stopped. A trial is stopped by those that had "
        "come so far before it: one that came early may go on with an objective that would have been stopped later."
    )
    return folded("The same as a table", caption(text), table(RUNGS, header, cells))


def _turns_table(decided: Sequence[Turn]) -> Markup:
    spent = {kind: sum(turn.until - turn.begins for turn in decided if turn.kind == kind) for kind in TURN_KINDS}
    whole = sum(spent.values()) or 1
    parts = [
        (kind, sum(turn.kind == kind for turn in decided), f"{spent[kind]:,}", percent(spent[kind] / whole))
        for kind in TURN_KINDS
    ]
    shares = table(
        "Where the budget went",
        (("decision", ""), ("times", "number"), ("epochs", "number"), ("share", "number")),
        parts,
    )
    header = (
        ("decision", "number"),
        ("trial", "number"),
        ("architecture", "name"),
        ("what", ""),
        ("seed", "number"),
        ("seed-epochs", "number"),
        ("expected gain per epoch", "number"),
    )
    cells = [
        (
            turn.decision,
            turn.number,
            turn.architecture,
            turn.kind,
            turn.seed,
            f"{turn.begins} to {turn.until}",
            NO_VALUE if turn.rate is None else f"{turn.rate:.2e}",
        )
        for turn in decided
    ]
    every = folded("Every decision", table("Decisions", header, cells))
    return element("div", element("h3", "Where the budget went"), shares, every)
