"""Sweeps that look for more than the score: what is measured, told and compared."""

import itertools
from pathlib import Path
from typing import Any

import optuna
import pytest
from sweep_toys import SWEEP_ROW, make_data, make_plan

from storage.errors import InvalidInput
from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan, SweepSettings
from sweeps.ledger import Ledger
from sweeps.objectives import Objective, values_of
from sweeps.records import TrialRecord, TrialState
from sweeps.sampler_settings import SamplerSettings
from sweeps.studies import Studies
from sweeps.trial_actor import TrialContext, train_recorded
from training import SeedResult

_TWO: tuple[Objective, ...] = ("score", "latency_ms")
_THREE: tuple[Objective, ...] = ("score", "num_parameters", "latency_ms")


def _measured(latency_ms: float, *, seeds: tuple[int, ...] = (1, 2)) -> dict[int, dict[str, float]]:
    return {seed: {"num_parameters": 100.0, "latency_ms": latency_ms + seed} for seed in seeds}


def test_the_median_over_seeds_counts_and_all_seeds_have_to_be_there() -> None:
    measured = {seed: {"num_parameters": 100.0, "latency_ms": float(seed**2)} for seed in (1, 2, 3)}
    assert values_of(_THREE, score=0.5, measured=measured, seeds=(1, 2, 3)) == [0.5, 100.0, 4.0]
    assert values_of(("score", "latency_ms"), score=0.5, measured=measured, seeds=(1, 2, 3)) == [0.5, 4.0]
    assert values_of(_THREE, score=0.5, measured=measured, seeds=(1, 2, 3, 4)) is None
    assert values_of(("score",), score=0.5, measured={}, seeds=(1,)) == [0.5]
    assert values_of(("score",), score=None, measured={}, seeds=(1,)) is None


def _ask_and_tell(plan: SweepPlan, count: int, *, latency_is_good: bool = True) -> tuple[Studies, list[TrialRecord]]:
    """Every third trial is stopped; more dropout is slower, or faster."""
    studies, records = Studies(plan), []
    for number in range(count):
        suggestion = studies.suggest(number)
        assert suggestion is not None
        dropout = suggestion.config.model["dropout"]
        assert isinstance(dropout, float)
        state: TrialState = "stopped" if number % 3 == 2 else "finished"
        latency_ms = 1 + (dropout if latency_is_good else 1 - dropout)
        record = TrialRecord(
            suggestion=suggestion,
            state=state,
            objective=0.5,
            objectives={1: 0.4, 2: 0.5},
            measured=_measured(latency_ms),
        )
        studies.tell(record)
        records.append(record)
    return studies, records


class TestStudies:
    @pytest.mark.parametrize(("kind", "objectives"), [("tpe", _THREE), ("random", _THREE), ("gp", _TWO)])
    def test_rebuilt_from_records_they_suggest_what_the_undisturbed_ones_do(
        self, kind: Any, objectives: tuple[Objective, ...]
    ) -> None:
        plan = make_plan(num_trials=6, objectives=objectives, sampler=SamplerSettings(kind=kind))
        _, records = _ask_and_tell(plan, 8)
        rebuilt = Studies(plan)
        rebuilt.restore(records[:6])
        for record in records[6:]:
            assert rebuilt.suggest(record.suggestion.number) == record.suggestion
            rebuilt.tell(record)

    def test_a_cost_guides_the_search_where_scores_are_alike(self) -> None:
        dropouts = {}
        for is_good in (True, False):
            plan = make_plan(num_trials=6, objectives=("score", "latency_ms"))
            _, records = _ask_and_tell(plan, 30, latency_is_good=is_good)
            chosen = [float(record.suggestion.config.model["dropout"]) for record in records[-12:]]
            dropouts[is_good] = sum(chosen) / len(chosen)
        assert dropouts[True] < dropouts[False] - 0.05

    def test_a_stopped_trial_is_told_as_pruned_without_a_curve_and_one_that_was_not_measured_as_failed(self) -> None:
        studies = Studies(make_plan(objectives=_THREE))
        for number, (state, measured) in enumerate([("stopped", {}), ("finished", {}), ("finished", _measured(3.0))]):
            suggestion = studies.suggest(number)
            assert suggestion is not None
            studies.tell(
                TrialRecord(
                    suggestion=suggestion,
                    state=state,  # type: ignore[arg-type]
                    objective=0.5,
                    objectives={1: 0.5},
                    measured=measured,
                )
            )
        trials = studies._studies["cnn"].get_trials()
        states = optuna.trial.TrialState
        assert [trial.state for trial in trials] == [states.PRUNED, states.FAIL, states.COMPLETE]
        assert [trial.values for trial in trials] == [None, None, [0.5, 100.0, 4.5]]
        assert all(trial.intermediate_values == {} for trial in trials)


class TestSettings:
    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ({"objectives": ()}, r"sweep\.objectives.*score first"),
            ({"objectives": ("latency_ms", "score")}, r"sweep\.objectives.*score first"),
            ({"objectives": ("score", "latency_ms", "latency_ms")}, r"sweep\.objectives"),
            ({"objectives": _THREE, "warm_start": ("a-1",)}, r"sweep\.warm_start"),
            ({"objectives": _THREE, "sampler": SamplerSettings(kind="cmaes")}, r"sweep\.sampler\.kind: got 'cmaes'"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, values: dict[str, Any], told: str) -> None:
        with pytest.raises(InvalidInput, match=told):
            SweepSettings(**values)

    def test_they_are_part_of_which_sweep_it_is_and_the_score_alone_is_not(self) -> None:
        assert make_plan(objectives=_THREE).sweep_id != make_plan().sweep_id
        assert make_plan(objectives=("score",)).sweep_id == make_plan().sweep_id
        assert "objectives" not in make_plan().identity["settings"]


class TestLatency:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A clock on which forward passes take 3 ms, and every fourth one a second."""
        ticks = (step for count in itertools.count() for step in (0.0, 1.0 if count % 4 == 0 else 0.003))
        now = itertools.accumulate(ticks)
        monkeypatch.setattr("training.latency.perf_counter", lambda: next(now))

    def _train(self, folder: Path, *, measures_latency: bool) -> tuple[list[SeedResult], Any]:
        plan = make_plan(epochs=1, seeds=(1, 2))
        store = LocalObjectStore(folder)
        Ledger(ResultsTable(store), plan.sweep_id).start(SWEEP_ROW)
        context = TrialContext(sweep_id=plan.sweep_id, store=store, data=make_data(), measures_latency=measures_latency)
        told: list[SeedResult] = []
        train_recorded(plan.trial_config("cnn", {}), context, lambda news: None, told.append)
        return told, ResultsTable(store).read("seeds", sweep_id=plan.sweep_id).to_pylist()

    def test_it_is_the_median_of_passes_of_every_seed_and_stands_in_its_row(self, clock: None, tmp_path: Path) -> None:
        told, rows = self._train(tmp_path, measures_latency=True)
        assert [result.latency_ms for result in told] == pytest.approx([3.0, 3.0])
        assert [row["latency_ms"] for row in rows] == [result.latency_ms for result in told]

    def test_nobody_measures_what_nobody_asks_for(self, tmp_path: Path) -> None:
        told, rows = self._train(tmp_path, measures_latency=False)
        assert [result.latency_ms for result in told] == [None, None]
        assert [row["latency_ms"] for row in rows] == [None, None]

    def test_a_seed_that_is_told_again_after_a_kill_has_the_latency_that_was_recorded(self, tmp_path: Path) -> None:
        first, rows = self._train(tmp_path, measures_latency=True)
        again, rows_again = self._train(tmp_path, measures_latency=True)
        assert [result.latency_ms for result in again] == [result.latency_ms for result in first]
        assert [row["latency_ms"] for row in rows] == [row["latency_ms"] for row in rows_again]
        assert len(again) == 2
