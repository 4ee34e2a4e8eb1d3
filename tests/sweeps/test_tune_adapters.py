"""The searcher that Tune asks, without Tune: what it hands out, and what it makes of how trials end."""

from pathlib import Path
from typing import Any

import pytest
from ledger_toys import record_curve
from ray import cloudpickle
from ray.tune.search import Searcher
from sweep_toys import SWEEP_ROW, make_plan

from search_spaces import get_space
from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan
from sweeps.fault import Fault
from sweeps.ledger import Ledger
from sweeps.sampler_settings import SamplerSettings
from sweeps.tune_adapters import LedgerSearcher


def make_searcher(plan: SweepPlan, folder: Path) -> tuple[LedgerSearcher, Ledger]:
    ledger = Ledger(ResultsTable(LocalObjectStore(folder)), plan.sweep_id)
    ledger.start(SWEEP_ROW)
    return LedgerSearcher(plan, ledger, ledger.records(), on_end=lambda record: None, fault=Fault()), ledger


def stop(searcher: LedgerSearcher, ledger: Ledger, tune_id: str, objective: float) -> None:
    """The trial records and reports one epoch and is stopped: unlike finished ones, these need no rows of seeds."""
    suggestion = searcher.suggestion_of(tune_id)
    assert suggestion is not None
    record_curve(ledger, suggestion.config, {1: objective})
    result = {"seed_epoch": 1, "objective": objective}
    searcher.on_trial_result(tune_id, result)
    searcher.stopped.add(tune_id)
    searcher.on_trial_complete(tune_id, result)


def run(searcher: LedgerSearcher, ledger: Ledger) -> list[Any]:
    """One trial after the other to the end; their numbers."""
    numbers: list[Any] = []
    while (given := searcher.suggest(f"tune{len(numbers)}")) != Searcher.FINISHED:
        stop(searcher, ledger, f"tune{len(numbers)}", 1 / (2 + given["number"]))
        numbers.append(given["number"])
    assert searcher.fault.error is None
    return numbers


class TestExtend:
    def test_a_finished_sweep_goes_on_with_further_numbers(self, tmp_path: Path) -> None:
        assert run(*make_searcher(make_plan(), tmp_path)) == [0, 1, 2, 3]
        assert not make_searcher(make_plan(), tmp_path)[0].has_more()
        longer = make_searcher(make_plan(extend=2), tmp_path)
        assert longer[0].has_more()
        assert run(*longer) == [4, 5]

    def test_it_suggests_what_a_sweep_that_was_extended_from_the_start_does(self, tmp_path: Path) -> None:
        run(*make_searcher(make_plan(), tmp_path / "later"))
        later = make_searcher(make_plan(extend=2), tmp_path / "later")
        at_once = make_searcher(make_plan(extend=2), tmp_path / "at once")
        run(*later)
        run(*at_once)
        configs = [[record.suggestion.config for record in ledger.records()] for _, ledger in (later, at_once)]
        assert configs[0] == configs[1]
        assert len(configs[0]) == 6


def test_a_trial_whose_process_died_is_handed_out_first_by_the_next_process(tmp_path: Path) -> None:
    searcher, ledger = make_searcher(make_plan(), tmp_path)
    assert [searcher.suggest(tune_id)["number"] for tune_id in ("a", "b")] == [0, 1]
    stop(searcher, ledger, "a", 0.5)
    again, _ = make_searcher(make_plan(), tmp_path)
    assert [again.suggest(tune_id)["number"] for tune_id in ("c", "d")] == [1, 2]


def test_a_trial_that_was_given_up_is_no_longer_in_training_for_the_sampler(tmp_path: Path) -> None:
    searcher, ledger = make_searcher(make_plan(), tmp_path)
    searcher.suggest("a")
    stop(searcher, ledger, "a", 0.5)
    crashed = searcher.suggest("b")
    searcher.on_trial_complete("b", error=True)
    study = searcher._studies._studies["cnn"]
    assert [trial.state.name for trial in study.get_trials()] == ["PRUNED", "FAIL"]
    assert searcher.num_given_up == 1
    again, _ = make_searcher(make_plan(), tmp_path)
    assert again.suggest("c")["configuration"] == crashed["configuration"]


@pytest.mark.parametrize("kind", ["tpe", "random", "grid", "cmaes", "gp"])
def test_tune_can_pickle_a_searcher_of_every_kind(kind: Any, tmp_path: Path) -> None:
    grid = {name: [get_space("cnn").default[name]] for name in get_space("cnn").distributions if name != "batch_size"}
    sampler = SamplerSettings(kind=kind, grid=grid if kind == "grid" else {})
    searcher, ledger = make_searcher(make_plan(sampler=sampler), tmp_path)
    for tune_id in ("a", "b"):
        searcher.suggest(tune_id)
    stop(searcher, ledger, "a", 0.5)
    cloudpickle.loads(cloudpickle.dumps(searcher))


@pytest.fixture(autouse=True)
def _no_ray_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.init", lambda *args, **kwargs: pytest.fail("these tests start no Ray"))
