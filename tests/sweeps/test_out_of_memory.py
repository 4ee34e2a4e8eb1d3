"""A trial whose memory ran out beside others is handed out once more, alone; it has no end and no score meanwhile."""

from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher
from sweep_toys import SWEEP_ROW, make_plan

from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan
from sweeps.fault import Fault
from sweeps.ledger import Ledger
from sweeps.placement import Share
from sweeps.records import TrialRecord
from sweeps.shares import Shares
from sweeps.table_searcher import TableSearcher
from sweeps.tune_adapters import LedgerSearcher
from sweeps.turn_search import TurnSearch
from sweeps.turn_tune import TurnSearcher

_OUT_OF_MEMORY = {"out_of_memory": True}


@pytest.fixture
def ended() -> list[TrialRecord]:
    return []


@pytest.fixture(params=["seed_epochs", "adaptive"])
def plan(request: pytest.FixtureRequest) -> SweepPlan:
    return make_plan(scheduler=request.param, num_trials=2)


@pytest.fixture
def searcher(plan: SweepPlan, tmp_path: Path, ended: list[TrialRecord]) -> TableSearcher:
    return searcher_of(plan, tmp_path, ended)


def searcher_of(plan: SweepPlan, folder: Path, ended: list[TrialRecord]) -> TableSearcher:
    ledger = Ledger(ResultsTable(LocalObjectStore(folder)), plan.sweep_id)
    ledger.start(SWEEP_ROW)
    if plan.settings.scheduler == "adaptive":
        search = TurnSearch(plan, ledger, ledger.records(), ledger.decisions())
        return TurnSearcher(search, ledger, on_end=ended.append, fault=Fault())
    return LedgerSearcher(plan, ledger, ledger.records(), on_end=ended.append, fault=Fault())


def table(name: str, folder: Path, plan: SweepPlan) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ResultsTable(LocalObjectStore(folder)).read(name, sweep_id=plan.sweep_id).to_pylist()
    return rows


def test_it_comes_again_alone_and_the_others_do_not(
    searcher: TableSearcher, plan: SweepPlan, tmp_path: Path, ended: list[TrialRecord]
) -> None:
    first, second = searcher.suggest("tune-1"), searcher.suggest("tune-2")
    assert (first["alone"], second["alone"]) == (False, False)
    searcher.on_trial_complete("tune-1", _OUT_OF_MEMORY)
    again = searcher.suggest("tune-3")
    assert again == {**first, "alone": True}
    searcher.on_trial_complete("tune-3", {"failed": True})
    assert [record.suggestion.number for record in ended] == [0]
    assert [row["trial_id"] for row in table("trials", tmp_path, plan)] == [ended[0].suggestion.config.trial_id]
    assert searcher.num_given_up == 0


def test_the_last_trial_that_runs_may_still_come_back(searcher: TableSearcher) -> None:
    running: list[dict[str, Any]] = []
    while (asked := searcher.suggest(f"tune-{len(running)}")) is not None:
        assert asked != Searcher.FINISHED
        running.append(asked)
    searcher.on_trial_complete("tune-0", _OUT_OF_MEMORY)
    assert searcher.suggest("again")["number"] == running[0]["number"]
    for name in ("again", *(f"tune-{place}" for place in range(1, len(running)))):
        searcher.on_trial_complete(name, {"failed": True})
    while (asked := searcher.suggest("later")) != Searcher.FINISHED:  # an adaptive sweep spends what they left
        searcher.on_trial_complete("later", {"failed": True})


def test_one_that_dies_alone_too_is_given_up_and_stays_open(
    searcher: TableSearcher, plan: SweepPlan, tmp_path: Path, ended: list[TrialRecord]
) -> None:
    searcher.suggest("tune-1")
    searcher.on_trial_complete("tune-1", _OUT_OF_MEMORY)
    searcher.suggest("tune-2")
    searcher.on_trial_complete("tune-2", error=True)
    assert searcher.num_given_up == 1
    assert ended == []
    assert table("trials", tmp_path, plan) == []
    assert [row["reason"] for row in table("failures", tmp_path, plan)] == ["gave_up"]


def test_another_process_takes_it_up_alone(searcher: TableSearcher, plan: SweepPlan, tmp_path: Path) -> None:
    first = searcher.suggest("tune-1")
    ledger = Ledger(ResultsTable(LocalObjectStore(tmp_path)), plan.sweep_id)
    (open_trial,) = ledger.records()
    ledger.failure(open_trial.suggestion.config.trial_id, reason="out_of_memory", detail="one clip needs more memory")
    again = searcher_of(plan, tmp_path, []).suggest("tune-2")
    assert again == {**first, "alone": True}


class TestShares:
    SHARES = Shares(
        beside_others={"cnn": Share(num_cpus=1, num_gpus=0.25), "resnet50": Share(num_cpus=1, num_gpus=1)},
        alone={"cnn": Share(num_cpus=1, num_gpus=1), "resnet50": None},
    )

    def _config(self, architecture: str, *, alone: bool) -> dict[str, Any]:
        return {"configuration": {"architecture": architecture}, "number": 0, "alone": alone}

    def test_each_architecture_has_its_own_and_one_alone_a_whole_gpu(self) -> None:
        shares = {
            (name, alone): self.SHARES.of(self._config(name, alone=alone)).num_gpus
            for name in ("cnn", "resnet50")
            for alone in (False, True)
        }
        assert shares == {("cnn", False): 0.25, ("cnn", True): 1, ("resnet50", False): 1, ("resnet50", True): 1}

    def test_only_who_has_others_beside_it_can_be_alone(self) -> None:
        assert self.SHARES.may_be_alone(self._config("cnn", alone=False))
        assert not self.SHARES.may_be_alone(self._config("cnn", alone=True))
        assert not self.SHARES.may_be_alone(self._config("resnet50", alone=False))
