"""Hours spent, and what the full grid would have taken, by hand."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from reports import render_page, trial_summaries
from reports.cost_sections import costs_section, failures_section
from reports.costs import costs, elapsed_seconds, hours_of_its_own, machine_of

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep


def test_the_grid_is_every_configuration_with_all_seeds_and_epochs(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)  # 3 seeds × 3 epochs of 4 s
    invented.suggest("t1", number=1)
    invented.train("t1", 1, (0.1,))
    invented.end("t1", "stopped", number=1, seed_epochs=1)
    invented.suggest("t2", number=2)  # never begun: as long as the others' epochs
    sweep = invented.load()
    (cost,) = costs(sweep, trial_summaries(sweep))
    assert (cost.epochs, cost.seconds) == (10, pytest.approx(40.0))
    assert (cost.grid_epochs, cost.grid_seconds) == (27, pytest.approx(27 * 4.0))
    assert cost.saved == pytest.approx(1 - 40 / 108)
    assert elapsed_seconds(sweep) == 3600.0


def test_a_failed_trial_costs_the_grid_what_it_took(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    invented.suggest("t1", number=1)
    invented.train("t1", 1, (0.1, 0.2))
    invented.end("t1", "failed", number=1, seed_epochs=2)
    sweep = invented.load()
    (cost,) = costs(sweep, trial_summaries(sweep))
    assert (cost.epochs, cost.grid_epochs) == (11, 11)
    assert cost.saved == pytest.approx(0.0)


def test_several_architectures_are_summed(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    invented.finished_trial("t1", number=1, architecture="resnet")
    sweep = invented.load()
    assert [(cost.name, cost.epochs) for cost in costs(sweep, trial_summaries(sweep))] == [
        ("cnn", 9),
        ("resnet", 9),
        ("all", 18),
    ]


def test_hours_are_those_of_what_a_trial_held(new_sweep: "Callable[..., InventedSweep]") -> None:
    settings = json.dumps({"sweep": {"cpus_per_trial": 2.0, "gpus_per_trial": 0.5}})
    invented = new_sweep(settings=settings)
    invented.suggest("t0")
    assert (machine_of(invented.load()).unit, machine_of(invented.load()).hours(3600, "cnn")) == ("CPU-hours", 2.0)
    invented.suggest("t1", number=1, device="cuda")
    assert (machine_of(invented.load()).unit, machine_of(invented.load()).hours(3600, "cnn")) == ("GPU-hours", 0.5)


AUTO = json.dumps({"sweep": {"cpus_per_trial": "auto", "gpus_per_trial": "auto"}})


@pytest.mark.parametrize(("device", "unit", "told"), [("cpu", "CPU", "2 cores"), ("cuda", "GPU", "0.25 GPUs")])
def test_a_share_that_was_left_open_is_the_one_that_was_measured(
    new_sweep: "Callable[..., InventedSweep]", device: str, unit: str, told: str
) -> None:
    invented, share = new_sweep(settings=AUTO), 2.0 if device == "cpu" else 0.25
    for number, name in enumerate(("cnn", "resnet")):
        invented.suggest(f"t{number}", number=number, architecture=name, device=device, seeds=(1,))
        invented.train(f"t{number}", 1, (0.5,) * 3, architecture=name)
    whole = {"cpus_per_trial": 1.0, "gpus_per_trial": 0.0 if device == "cpu" else 1.0}
    invented.measure("resnet", device=device, minutes=1, **whole)
    invented.measure("cnn", device=device, minutes=1, **whole)
    invented.measure("cnn", device=device, minutes=2, cpus_per_trial=2.0, gpus_per_trial=share)
    sweep = invented.load()
    hours = [cost.hours for cost in costs(sweep, trial_summaries(sweep))]
    assert hours == pytest.approx([share * 12 / 3600, 12 / 3600, (1 + share) * 12 / 3600])
    text = costs_section(sweep, trial_summaries(sweep))
    assert f"{unit}-hours" in text
    assert f"A trial held, as measured: cnn {told}, resnet 1 {told.split()[1].removesuffix('s')}." in text


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_share_that_was_left_open_and_never_measured_is_told_to_be_unknown(
    new_sweep: "Callable[..., InventedSweep]", device: str
) -> None:
    invented = new_sweep(settings=AUTO)
    invented.suggest("t0", device=device, seeds=(1,))
    invented.train("t0", 1, (0.5,) * 3)
    invented.measure("cnn", device=device)  # by an earlier version
    sweep = invented.load()
    page = render_page(sweep, [])
    assert "0.00 trial-hours" in page
    assert "How many GPUs or cores a trial held is unknown" in page
    assert machine_of(sweep).hours(3600, "cnn") == 1.0


def test_what_a_confirmation_took_over_is_not_counted_again(new_sweep: "Callable[..., InventedSweep]") -> None:
    sweep, follow_up = new_sweep(), new_sweep(sweep_id="sweep-1-confirmation", of_sweep="sweep-1")
    sweep.suggest("t0", seeds=(1,))
    sweep.train("t0", 1, (0.1, 0.2))
    follow_up.suggest("c0", seeds=(1, 2), of_trial="t0")
    follow_up.train("c0", 1, (0.1, 0.2))
    follow_up.train("c0", 2, (0.1, 0.2, 0.3), before=2)
    earlier = [sweep.load()]
    assert hours_of_its_own(follow_up.load(), earlier) == pytest.approx(12.0 / 3600)


def test_what_an_audit_took_over_from_the_confirmation_is_not_counted_again(
    new_sweep: "Callable[..., InventedSweep]",
) -> None:
    sweep, confirmation, audit = (
        new_sweep(),
        new_sweep(sweep_id="sweep-1-confirmation", of_sweep="sweep-1"),
        new_sweep(sweep_id="sweep-1-audit", of_sweep="sweep-1"),
    )
    sweep.suggest("t0", seeds=(1,))
    sweep.train("t0", 1, (0.1, 0.2))
    for follow_up, seeds in ((confirmation, (2,)), (audit, (2, 3))):
        follow_up.suggest(f"c{len(seeds)}", seeds=seeds, of_trial="t0")
        for place, seed in enumerate(seeds):
            follow_up.train(f"c{len(seeds)}", seed, (0.1, 0.2, 0.3), before=3 * place)
    earlier = [sweep.load(), confirmation.load()]
    assert hours_of_its_own(earlier[1], earlier[:1]) == pytest.approx(12.0 / 3600)
    assert hours_of_its_own(audit.load(), earlier) == pytest.approx(12.0 / 3600)  # of seed 3 alone


def test_the_section_says_what_was_saved_and_what_followed(new_sweep: "Callable[..., InventedSweep]") -> None:
    invented, follow_up = new_sweep(), new_sweep(sweep_id="later", of_sweep="sweep-1")
    invented.finished_trial("t0", number=0)
    follow_up.suggest("c0", of_trial="t0")
    follow_up.train("c0", 7, (0.5,) * 3)
    sweep = invented.load()
    text = costs_section(sweep, trial_summaries(sweep), follow_ups=[("confirmation", follow_up.load())])
    assert "0.0 % saved" in text
    assert "The confirmation took 0.00 CPU-hours more" in text
    assert "No epoch has been trained" in costs_section(new_sweep(sweep_id="empty").load(), [])


def test_failures_are_counted_by_reason_with_what_became_of_the_trials(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    invented.fail("t0", minutes=1)
    invented.fail("t0", minutes=2)
    invented.suggest("t1", number=1)
    invented.fail("t1", reason="<i>lost</i>", minutes=3)
    text = failures_section(invented.load())
    cells = [cell.rpartition(">")[2] for cell in text.partition("<tbody>")[2].partition("</tbody>")[0].split("</td>")]
    assert cells[:8] == ["out of memory", "2", "1", "1", "&lt;i&gt;lost&lt;/i&gt;", "1", "1", "0"]
