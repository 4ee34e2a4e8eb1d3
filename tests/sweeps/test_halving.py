"""Halving as Tune asks for it: which bracket a trial belongs to, and which trials rungs do not stop."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler
from sweep_toys import make_plan

from storage.errors import InvalidInput
from sweeps.fault import Fault
from sweeps.plan import SweepPlan
from sweeps.records import Suggestion
from sweeps.rung_settings import RungSettings
from sweeps.tune_adapters import SeedEpochHalving


@dataclass
class Handed:
    """A searcher that has handed out one trial of every number."""

    plan: SweepPlan
    fault: Fault = field(default_factory=Fault)
    stopped: set[str] = field(default_factory=set)

    def suggestion_of(self, trial_id: str) -> Suggestion:
        config = self.plan.trial_config("cnn", {"model.dropout": int(trial_id) / 100})
        return Suggestion(
            number=int(trial_id), config=config, parameters={}, distributions={}, untuned_default=trial_id == "0"
        )


def _plan(**rungs: object) -> SweepPlan:
    values = {"architectures": ("cnn",), "num_trials": 40, "epochs": 9, "grace_epochs": 1, "seeds": (1,)}
    return make_plan(**values, rungs=RungSettings(**rungs))  # type: ignore[arg-type]


def _decide(plan: SweepPlan, *, seed_epoch: int) -> list[bool]:
    """Whether each of 20 trials, every one worse than all before it, goes on."""
    searcher, told = Handed(plan), list[tuple[str, str]]()
    scheduler = SeedEpochHalving(plan, [], searcher, lambda *decided: told.append(decided))  # type: ignore[arg-type]
    found = []
    for number in range(20):
        result = {"seed_epoch": seed_epoch, "objective": -float(number)}
        decision = scheduler.on_trial_result(None, SimpleNamespace(trial_id=str(number)), result)
        found.append(decision == TrialScheduler.CONTINUE)
        assert (str(number) in searcher.stopped) is not found[-1]
        if seed_epoch in plan.rung_places(plan.bracket_of(number)):
            assert told.pop() == ("cnn", "go_on" if found[-1] else "stop")
        assert told == []
    return found


@pytest.mark.parametrize("num_spared", [0, 1, 4])
def test_the_first_ones_are_not_stopped(num_spared: int) -> None:
    found = _decide(_plan(never_stop_first=num_spared), seed_epoch=1)
    assert found[: max(1, num_spared)] == [True] * max(1, num_spared)  # the very first is the best of one
    assert not any(found[max(1, num_spared) :])


def test_a_bracket_has_no_rung_below_its_own_first_one() -> None:
    plan = _plan(brackets=2)
    of_first = [plan.bracket_of(number) == 0 for number in range(20)]
    assert 0 < sum(of_first) < 20
    at_1 = _decide(plan, seed_epoch=1)
    assert [found for found, is_first in zip(at_1, of_first, strict=True) if not is_first] == [True] * (
        20 - sum(of_first)
    )
    assert sum(found for found, is_first in zip(at_1, of_first, strict=True) if is_first) == 1
    at_3 = _decide(plan, seed_epoch=3)
    assert sum(at_3) == 2  # the best of each bracket


class TestRefused:
    def test_more_brackets_than_first_rungs(self) -> None:
        with pytest.raises(InvalidInput, match=r"sweep\.rungs\.brackets: got 4; allowed: at most 3"):
            _plan(brackets=4)

    @pytest.mark.parametrize("scheduler", ["adaptive", "fifo"])
    @pytest.mark.parametrize("changed", [{"kind": "pause"}, {"brackets": 2}, {"never_stop_first": 2}])
    def test_rungs_of_schedulers_that_have_none(self, scheduler: str, changed: dict[str, object]) -> None:
        with pytest.raises(
            InvalidInput, match=rf"sweep\.rungs\.{next(iter(changed))}: .*{scheduler}, which has no rungs"
        ):
            make_plan(scheduler=scheduler, rungs=RungSettings(**changed))  # type: ignore[arg-type]


def test_sweeps_with_rungs_as_ever_keep_their_ids() -> None:
    assert make_plan(rungs=RungSettings()).sweep_id == make_plan().sweep_id
    assert make_plan(rungs=RungSettings(never_stop_first=3)).sweep_id != make_plan().sweep_id
