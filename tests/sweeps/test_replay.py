"""What ran at once is replayed from the rows: the order of suggestions and results is in them, kills or none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_toys import record_curve, record_seeds
from ray.tune.search import Searcher
from sweep_toys import SWEEP_ROW, make_plan

from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan
from sweeps.fault import Fault
from sweeps.ledger import Ledger
from sweeps.records import TrialRecord
from sweeps.replay import ReplayDiffers, replay
from sweeps.sampler_settings import SamplerSettings
from sweeps.tune_adapters import LedgerSearcher

_AT_ONCE = 3


class Machine:
    """Runs a plan's trials, three at once, in an order by chance; some finish, some are stopped, some fail."""

    def __init__(self, plan: SweepPlan, folder: Path, *, seed: int, kill_share: float) -> None:
        self._plan, self._rng, self._kill_share = plan, np.random.default_rng(seed), kill_share
        self.ledger = Ledger(ResultsTable(LocalObjectStore(folder)), plan.sweep_id)
        self.ledger.start(SWEEP_ROW)
        self.num_kills = 0
        self._start()

    def run(self) -> list[TrialRecord]:
        while True:
            self._fill()
            if not self._running:
                return self.ledger.records()
            if self._rng.random() < self._kill_share:
                self.num_kills += 1
                self._start()
            else:
                self._end(self._running.pop(int(self._rng.integers(len(self._running)))))

    def _start(self) -> None:
        records, fault = self.ledger.records(), Fault()
        self._searcher = LedgerSearcher(self._plan, self.ledger, records, on_end=lambda record: None, fault=fault)
        self._running: list[str] = []
        self._num_started = 0

    def _fill(self) -> None:
        while len(self._running) < _AT_ONCE:
            self._num_started += 1
            tune_id = f"tune{self._num_started}"
            if self._searcher.suggest(tune_id) in (None, Searcher.FINISHED):  # none, while another may come back
                assert self._searcher.fault.error is None
                return
            self._running.append(tune_id)

    def _end(self, tune_id: str) -> None:
        suggestion = self._searcher.suggestion_of(tune_id)
        assert suggestion is not None
        config = suggestion.config
        state = ("finished", "finished", "stopped", "failed")[suggestion.number % 4]
        rate = config.optimizer.learning_rate
        length = {"finished": config.epochs * len(config.seeds), "stopped": 1 + suggestion.number % 3, "failed": 1}
        curve = {epoch: rate + epoch / 100 for epoch in range(1, length[state] + 1)}
        record_curve(self.ledger, config, curve)
        for epoch, objective in curve.items():
            ended = [config.seeds[epoch // config.epochs - 1]] if epoch % config.epochs == 0 else []
            told = [{"seed": seed, "num_parameters": 10, "latency_ms": 1000 * rate} for seed in ended]
            self._searcher.on_trial_result(tune_id, {"seed_epoch": epoch, "objective": objective, "ended": told})
        result: dict[str, Any] = {"seed_epoch": length[state], "objective": curve[length[state]]}
        if state == "finished":
            record_seeds(self.ledger, config, latency_ms=1000 * rate)
        if state == "stopped":
            self._searcher.stopped.add(tune_id)
        self._searcher.on_trial_complete(tune_id, {"failed": True} if state == "failed" else result)
        assert self._searcher.fault.error is None


def plan_of(kind: Any, **settings: object) -> SweepPlan:
    values: dict[str, object] = {"num_trials": 14, "architectures": ("cnn",), **settings}
    return make_plan(**values, sampler=SamplerSettings(kind=kind))


@pytest.mark.parametrize(("kind", "kill_share"), [("tpe", 0.0), ("tpe", 0.3), ("gp", 0.3), ("cmaes", 0.3)])
def test_three_trials_at_once_are_replayed_from_their_rows(kind: str, kill_share: float, tmp_path: Path) -> None:
    plan = plan_of(kind)
    machine = Machine(plan, tmp_path, seed=5, kill_share=kill_share)
    records = machine.run()
    assert (machine.num_kills > 2) is (kill_share > 0)
    assert [suggestion.number for suggestion in replay(plan, records)] == list(range(14))


def test_several_objectives_are_replayed_too(tmp_path: Path) -> None:
    plan = plan_of("tpe", objectives=("score", "latency_ms", "num_parameters"))
    records = Machine(plan, tmp_path, seed=5, kill_share=0.2).run()
    assert len(list(replay(plan, records))) == 14
    elsewhere = [replace(record, measured={}) for record in records]
    with pytest.raises(ReplayDiffers):
        list(replay(plan, elsewhere))


def test_several_architectures_are_replayed_too(tmp_path: Path) -> None:
    plan = plan_of("tpe", architectures=("cnn", "alexnet"), num_trials=7)
    records = Machine(plan, tmp_path, seed=6, kill_share=0.2).run()
    assert len(list(replay(plan, records))) == 14


def test_trials_really_ran_at_once_and_what_suggestions_knew_matters(tmp_path: Path) -> None:
    plan = plan_of("tpe")
    records = Machine(plan, tmp_path, seed=5, kill_share=0.0).run()
    late = [record for record in records if (record.known_from or 0) > record.suggestion.number + 1]
    assert len(late) > 5
    in_turn = [replace(record, known_from=None) for record in records]  # as if every end had been known at once
    with pytest.raises(ReplayDiffers, match=r"number \d+: .* then, .* now"):
        list(replay(plan, in_turn))


def test_an_extended_sweep_is_replayed(tmp_path: Path) -> None:
    Machine(plan_of("tpe", num_trials=7), tmp_path, seed=7, kill_share=0.0).run()
    longer = plan_of("tpe", num_trials=7, extend=4)
    records = Machine(longer, tmp_path, seed=8, kill_share=0.0).run()
    assert len(list(replay(longer, records))) == 11
