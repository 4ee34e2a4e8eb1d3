"""Learning rates over time, held against torch's own schedulers and the formulas."""

import math
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import SWALR

from training.recipe import ScheduleConfig
from training.schedule import Schedule


def _rates(config: ScheduleConfig, *, steps_per_epoch: int = 4, epochs: int = 5) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = Schedule(optimizer, config, steps_per_epoch=steps_per_epoch, epochs=epochs)
    rates = []
    for step in range(steps_per_epoch * epochs):
        schedule.before_step(step)
        rates.append(schedule.learning_rate)
    return rates


def test_cosine_rises_through_the_warm_up_and_falls_to_zero() -> None:
    rates = _rates(ScheduleConfig(warmup_epochs=1))
    assert rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert rates[4:] == pytest.approx([0.05 * (1 + math.cos(math.pi * step / 16)) for step in range(16)])


def test_half_an_epoch_of_warm_up_is_half_of_its_steps() -> None:
    assert _rates(ScheduleConfig(kind="constant", warmup_epochs=0.5))[:3] == pytest.approx([0.05, 0.1, 0.1])


def test_one_cycle_is_torch_s() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    # torch places the peak at step 0.3 × total - 1, ours at 0.3 × (total - 1): with many steps the same curve.
    reference = OneCycleLR(optimizer, max_lr=0.1, total_steps=2000, cycle_momentum=False)
    expected = []
    for _ in range(2000):
        expected.append(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
    assert _rates(ScheduleConfig(kind="one_cycle"), steps_per_epoch=400) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_one_cycle_cycles_the_momentum_as_torch_does(kind: str) -> None:
    def optimizer() -> torch.optim.Optimizer:
        parameters = [torch.nn.Parameter(torch.zeros(1))]
        if kind == "adam":
            return torch.optim.Adam(parameters, lr=0.1, betas=(0.9, 0.99))
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)

    def momentum(of: torch.optim.Optimizer) -> float:
        group = of.param_groups[0]
        return float(group["betas"][0] if kind == "adam" else group["momentum"])

    ours, theirs = optimizer(), optimizer()
    schedule = Schedule(ours, ScheduleConfig(kind="one_cycle"), steps_per_epoch=400, epochs=5)
    reference = OneCycleLR(theirs, max_lr=0.1, total_steps=2000)
    found, expected = [], []
    for step in range(2000):
        schedule.before_step(step)
        found.append(momentum(ours))
        expected.append(momentum(theirs))
        theirs.step()
        reference.step()
    assert found == pytest.approx(expected, abs=2e-4)
    assert (found[0], min(found)) == pytest.approx((0.95, 0.85), abs=1e-4)
    if kind == "adam":
        assert ours.param_groups[0]["betas"][1] == 0.99


def test_one_cycle_gives_no_momentum_to_an_optimizer_without_any() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    Schedule(optimizer, ScheduleConfig(kind="one_cycle"), steps_per_epoch=4, epochs=5).before_step(3)
    assert optimizer.param_groups[0]["momentum"] == 0


def test_a_plateau_begins_when_the_warm_up_is_over() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    config = ScheduleConfig(kind="plateau", plateau_patience=0, plateau_factor=0.5, warmup_epochs=2)
    schedule = Schedule(optimizer, config, steps_per_epoch=2, epochs=9)
    rates = []
    for epoch, loss in enumerate([1.0, 0.5, 0.6, 0.4, 0.7]):
        for step in (2 * epoch, 2 * epoch + 1):
            schedule.before_step(step)
            rates.append(schedule.learning_rate)
        schedule.after_epoch(loss)
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05])


def test_a_plateau_lowers_the_rate_by_its_factor_after_its_patience() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    config = ScheduleConfig(kind="plateau", plateau_patience=1, plateau_factor=0.2)
    schedule = Schedule(optimizer, config, steps_per_epoch=1, epochs=9)
    rates = []
    for step, loss in enumerate([1.0, 0.5, 0.6, 0.7, 0.8, 0.9]):
        schedule.before_step(step)
        rates.append(schedule.learning_rate)
        schedule.after_epoch(loss)
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.02, 0.02])


def _two_groups() -> torch.optim.Optimizer:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups: list[dict[str, Any]] = [{"params": [parameters[0]], "lr": 0.01}, {"params": [parameters[1]]}]
    return torch.optim.SGD(groups, lr=0.1)


@pytest.mark.parametrize("kind", ["cosine", "one_cycle", "plateau", "constant"])
def test_the_rates_of_averaged_epochs_are_those_of_torch_s_swalr(kind: Any) -> None:
    optimizer = _two_groups()
    schedule = Schedule(
        optimizer,
        ScheduleConfig(kind=kind, plateau_patience=0),
        steps_per_epoch=4,
        epochs=5,
        swa_epochs=2,
        swa_learning_rate=0.05,
    )
    plain_optimizer = _two_groups()
    plain = Schedule(plain_optimizer, ScheduleConfig(kind=kind, plateau_patience=0), steps_per_epoch=4, epochs=5)
    for step in range(20):
        schedule.before_step(step)
        plain.before_step(step)
        if step < 12:
            expected = [group["lr"] for group in plain_optimizer.param_groups]
        elif step == 12:  # torch's scheduler takes over, with the shares that the groups had
            reference = _two_groups()
            swalr = SWALR(reference, swa_lr=[0.005, 0.05], anneal_epochs=0)  # type: ignore[arg-type]
            expected = [group["lr"] for group in reference.param_groups]
        else:
            reference.step()
            swalr.step()
            expected = [group["lr"] for group in reference.param_groups]
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(expected)
        if step % 4 == 3:
            schedule.after_epoch(1.0)
            plain.after_epoch(1.0)


def test_the_rate_of_averaged_epochs_follows_from_the_step_alone() -> None:
    for step in (12, 19, 15):
        optimizer = _two_groups()
        taken_up = Schedule(
            optimizer, ScheduleConfig(kind="plateau"), steps_per_epoch=4, epochs=5, swa_epochs=2, swa_learning_rate=0.05
        )
        taken_up.before_step(step)
        assert taken_up.learning_rate == pytest.approx(0.05)


def test_groups_keep_their_share_of_the_rate() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups: list[dict[str, Any]] = [{"params": [parameters[0]], "lr": 0.01}, {"params": [parameters[1]]}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    schedule = Schedule(optimizer, ScheduleConfig(), steps_per_epoch=4, epochs=5)
    schedule.before_step(10)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.005, 0.05])
