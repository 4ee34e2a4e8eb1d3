"""What the sweep cost, what it saved against the full grid, and what failed. Leaves: sections of the page."""

from collections.abc import Sequence

from reports.blocks import caption, empty, section
from reports.costs import Cost, Machine, costs, elapsed_seconds, hours_of_its_own, machine_of
from reports.markup import Markup, element
from reports.sweep_results import SweepResults
from reports.tables import failures_table, table
from reports.text import NO_VALUE, counted, percent
from reports.trials import TrialSummary

COSTS, FAILURES = "Time spent and saved", "Failures"


def costs_section(
    sweep: SweepResults, trials: Sequence[TrialSummary], *, follow_ups: Sequence[tuple[str, SweepResults]] = ()
) -> Markup:
    """Hours by architecture against the full grid.

    Args:
        follow_ups: (`confirmation`, its rows), likewise of an audit: what they trained is told beside it.
    """
    found, machine = costs(sweep, trials), machine_of(sweep)
    if not any(cost.epochs for cost in found):
        return section(COSTS, empty("No epoch has been trained yet."))
    total = found[-1]
    told = [sweep, *(rows for _, rows in follow_ups)]
    extra = [(kind, hours_of_its_own(rows, told[:place])) for place, (kind, rows) in enumerate(follow_ups, 1)]
    header = [
        ("architecture", "name"),
        *((name, "number") for name in ("configurations", "epochs trained", "of the full grid")),
        *((name, "number") for name in (machine.unit, "of the full grid", "saved")),
    ]
    return section(
        COSTS,
        element("p", _sentence(sweep, total, machine)),
        caption(
            "The full grid: every configuration with all its seeds for all its epochs, without a stop, each epoch as "
            f"long as that trial's were. {_share(machine)} Training and validation of epochs only, as measured; "
            "reading data and starting processes are not in it."
        ),
        table(COSTS, header, [_cells(cost) for cost in found]),
        *(element("p", f"The {kind} took {told_hours(hours, machine)} more.") for kind, hours in extra),
    )


def failures_section(sweep: SweepResults) -> Markup:
    """What failed and why: first by reason, then each one."""
    if sweep.failures.empty:
        return section(FAILURES, empty("No failure was recorded."))
    text = "Every recorded failure. A trial may fail, be tried again and finish."
    header = (("reason", "name"), ("failures", "number"), ("trials", "number"), ("of these finished", "number"))
    by_reason = table("Failures by reason", header, _by_reason(sweep))
    each = [element("h3", "Each one, oldest first"), failures_table(sweep)]
    return section(FAILURES, caption(text), by_reason, *each)


def _by_reason(sweep: SweepResults) -> list[tuple[object, ...]]:
    finished = set(sweep.trials[sweep.trials["state"] == "finished"]["trial_id"])
    groups = sweep.failures.groupby("reason")["trial_id"]
    most_first = sorted(groups, key=lambda group: (-len(group[1]), str(group[0])))
    return [(reason, len(trials), trials.nunique(), len(finished & set(trials))) for reason, trials in most_first]


def _sentence(sweep: SweepResults, total: Cost, machine: Machine) -> str:
    elapsed = elapsed_seconds(sweep)
    began = "" if elapsed is None else f" From its start to the last trial's end: {_clock(elapsed)}, pauses included."
    if total.saved is None:
        return f"Trained for {told_hours(total.hours, machine)}.{began}"
    return (
        f"Trained for {told_hours(total.hours, machine)}; the full grid would have taken about "
        f"{told_hours(total.grid_hours or 0.0, machine)}: {percent(total.saved)} saved.{began}"
    )


def _cells(cost: Cost) -> tuple[object, ...]:
    grid = cost.grid_hours
    return (
        cost.name,
        cost.num_configurations,
        f"{cost.epochs:,}",
        f"{cost.grid_epochs:,}",
        f"{cost.hours:.2f}",
        NO_VALUE if grid is None else f"{grid:.2f}",
        percent(cost.saved),
    )


def _share(machine: Machine) -> str:
    if not machine.shares:
        return "How many GPUs or cores a trial held is unknown, as no measurement tells: hours are those of trials."
    what = "GPU" if machine.unit.startswith("GPU") else "core"
    held = {name: counted(int(n), what) if n % 1 == 0 else f"{n:g} {what}s" for name, n in machine.shares.items()}
    if len(set(held.values())) == 1:
        return f"A trial held {next(iter(held.values()))}."
    return f"A trial held, as measured: {', '.join(f'{name} {told}' for name, told in held.items())}."


def told_hours(hours: float, machine: Machine) -> str:
    """`1.57 CPU-hours`."""
    return f"{hours:.1f} {machine.unit}" if hours >= 10 else f"{hours:.2f} {machine.unit}"


def _clock(seconds: float) -> str:
    """`2 h 05 min`, `6 min 58 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"
