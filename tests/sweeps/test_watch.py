"""What a sweep tells of its progress."""

from types import SimpleNamespace
from typing import Any

from sweep_toys import make_plan

from sweeps.fault import Fault
from sweeps.watch import SweepProgress, Watch


def test_an_epoch_that_a_trial_tells_again_when_it_is_taken_up_counts_once() -> None:
    plan, told = make_plan(), list[SweepProgress]()
    watch = Watch(plan, [], told.append, Fault(), None)
    config = {"number": 0, "configuration": plan.trial_config("cnn", {}).to_dict()}
    trial: Any = SimpleNamespace(config=config)
    for seed_epoch in (1, 2, 2, 3):
        result = {"seed": 1, "epoch": seed_epoch, "seed_epoch": seed_epoch, "objective": 0.5}
        watch.on_trial_result(0, [], trial, result)
    assert [progress.seed_epochs for progress in told] == [1, 2, 2, 3]
