"""How a sweep begins: its row, how far it was extended, and why it is not the sweep of the same name before it."""

import dataclasses
import json
from pathlib import Path

import pytest
from sweep_toys import SWEEP_ROW, make_plan

from search_spaces import get_space
from storage.errors import InvalidInput
from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan, SweepSettings
from sweeps.beginning import begin
from sweeps.ledger import Ledger
from sweeps.rung_settings import RungSettings
from sweeps.sampler_settings import SamplerSettings


def _begin(plan: SweepPlan, folder: Path, said: list[str] | None = None) -> SweepPlan:
    ledger = Ledger(ResultsTable(LocalObjectStore(folder)), plan.sweep_id)
    return begin(plan, ledger, SWEEP_ROW, say=(said if said is not None else []).append)[0]


class TestExtend:
    def test_it_adds_configurations_to_the_same_sweep(self) -> None:
        plan, longer = make_plan(), make_plan(extend=2)
        assert longer.sweep_id == plan.sweep_id
        assert (plan.num_trials, longer.num_trials) == (4, 6)

    def test_said_again_it_adds_nothing_and_said_larger_it_adds_the_rest(self, tmp_path: Path) -> None:
        extended = [_begin(make_plan(extend=extend), tmp_path).num_trials for extend in (0, 2, 2, 3)]
        assert extended == [4, 6, 6, 7]

    def test_a_sweep_that_is_taken_up_without_it_goes_on_as_far_as_it_was_extended(self, tmp_path: Path) -> None:
        _begin(make_plan(extend=5), tmp_path)
        said: list[str] = []
        assert _begin(make_plan(), tmp_path, said).num_trials == 9
        assert said[0].startswith("this sweep was extended by 5 configurations per architecture before")

    def test_another_sweep_is_not_extended_by_it(self, tmp_path: Path) -> None:
        _begin(make_plan(extend=5), tmp_path)
        assert _begin(make_plan(searcher_seed=9), tmp_path).num_trials == 4

    @pytest.mark.parametrize("budget", [0.0, 14.0])
    def test_an_adaptive_sweep_gets_whole_trainings(self, budget: float) -> None:
        values = {"scheduler": "adaptive", "budget": budget, "architectures": ("cnn", "alexnet")}
        plan, longer = make_plan(**values), make_plan(**values, extend=3)
        assert longer.sweep_id == plan.sweep_id
        assert longer.budget_epochs - plan.budget_epochs == 2 * 3 * plan.settings.epochs
        assert longer.trials_per_architecture - plan.trials_per_architecture == 3

    def test_less_than_none_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match=r"sweep\.extend"):
            SweepSettings(extend=-1)


class TestWhyNew:
    def test_the_first_of_its_name_and_a_resumed_sweep_say_nothing_of_it(self, tmp_path: Path) -> None:
        said: list[str] = []
        _begin(make_plan(name="other"), tmp_path)
        _begin(make_plan(), tmp_path, said)
        _begin(make_plan(max_concurrent_trials=5, extend=0), tmp_path, said)
        assert all(line.startswith("sweep toy-") for line in said)

    def test_changed_settings_and_versions_are_told_with_what_they_were(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _begin(make_plan(), tmp_path)
        monkeypatch.setattr("sweeps.plan.TRAINING_VERSION", 999)
        said: list[str] = []
        _begin(make_plan(epochs=50, scheduler="fifo", trial={"model.width": 4, "batch_size": 8}), tmp_path, said)
        assert said[0].startswith(f"a new sweep, and not {make_plan_id(tmp_path)} taken up: ")
        changed = said[0].partition(" taken up: ")[2]
        for told in (
            "sweep.epochs 3 → 50",
            "sweep.scheduler seed_epochs → fifo",
            "sweep.trial.batch_size none → 8",
            "→ 999",
        ):
            assert told in changed
        assert "model.width" not in changed
        assert "max_concurrent" not in changed

    def test_a_changed_space_is_told_by_what_changed_in_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _begin(make_plan(), tmp_path)
        space = get_space("cnn")
        monkeypatch.setattr(
            "sweeps.plan.get_space",
            lambda name: dataclasses.replace(space, default={**space.default, "batch_size": 32}),
        )
        said: list[str] = []
        _begin(make_plan(), tmp_path, said)
        assert said[0].endswith(" taken up: space.cnn.default.batch_size 16 → 32")

    def test_spaces_are_compared_of_architectures_that_both_search(self, tmp_path: Path) -> None:
        _begin(make_plan(), tmp_path)
        said: list[str] = []
        _begin(make_plan(architectures=("cnn", "alexnet")), tmp_path, said)
        assert said[0].endswith(' taken up: sweep.architectures ["cnn"] → ["cnn", "alexnet"]')

    def test_it_is_compared_with_the_newest(self, tmp_path: Path) -> None:
        _begin(make_plan(epochs=5), tmp_path)
        _begin(make_plan(epochs=6), tmp_path)
        said: list[str] = []
        _begin(make_plan(epochs=7), tmp_path, said)
        assert said[0].endswith("sweep.epochs 6 → 7")

    def test_of_a_row_without_an_identity_its_settings_and_data_are_compared(self, tmp_path: Path) -> None:
        results = ResultsTable(LocalObjectStore(tmp_path))
        settings = {"sweep": {**dataclasses.asdict(make_plan().settings), "epochs": 9}}
        row = {**SWEEP_ROW, "settings": json.dumps(settings), "split_hash": "7" * 16}
        Ledger(results, "toy-0123456789ab").start(row)
        said: list[str] = []
        _begin(make_plan(), tmp_path, said)
        changed = said[0].partition(" taken up: ")[2].split("; ")
        assert changed == [f"split_hash {'7' * 16} → {'5' * 16}", "sweep.epochs 9 → 3"]


def test_a_sweep_whose_warm_start_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"sweep\.warm_start"):
        _begin(make_plan(warm_start=("none-0123456789ab",)), tmp_path)
    assert ResultsTable(LocalObjectStore(tmp_path)).read("sweeps").num_rows == 0


def test_a_grid_that_is_larger_than_the_sweep_is_told(tmp_path: Path) -> None:
    fixed = {name: value for name, value in get_space("cnn").default.items() if name != "batch_size"}
    for num_trials, is_told in ((1, True), (2, False)):
        said: list[str] = []
        _begin(make_plan(trial=fixed, num_trials=num_trials, sampler=SamplerSettings(kind="grid")), tmp_path, said)
        assert any(line.startswith("the grid of cnn has 2 configurations") for line in said) is is_told


class TestRungsThatCompareNothing:
    @pytest.mark.parametrize(
        ("settings", "is_told"),
        [
            ({"epochs": 3, "grace_epochs": 3, "seeds": (1,)}, True),
            ({"epochs": 3, "grace_epochs": 3, "seeds": (1, 2), "scheduler": "asha"}, True),
            ({"epochs": 3, "grace_epochs": 3, "seeds": (1, 2)}, False),  # one rung, after the first seed
            ({"epochs": 3, "grace_epochs": 3, "seeds": (1,), "scheduler": "fifo"}, False),
            ({"epochs": 3, "grace_epochs": 1, "seeds": (1,)}, False),
        ],
    )
    def test_a_sweep_without_a_rung_is_told(self, tmp_path: Path, settings: dict[str, object], is_told: bool) -> None:
        said: list[str] = []
        _begin(make_plan(**settings), tmp_path, said)
        assert any(line.startswith("no rung lies below 3 epochs") for line in said) is is_told

    @pytest.mark.parametrize(
        ("num_trials", "extend", "dealt"), [(2, 0, "1, 1, 0"), (4, 0, "2, 1, 1"), (4, 7, None), (20, 0, None)]
    )
    def test_brackets_with_fewer_than_two_configurations_are_told(
        self, tmp_path: Path, num_trials: int, extend: int, dealt: str | None
    ) -> None:
        said: list[str] = []
        brackets = RungSettings(brackets=3)
        _begin(make_plan(epochs=27, num_trials=num_trials, extend=extend, rungs=brackets), tmp_path, said)
        told = [line.partition(" the brackets get ")[2].partition(";")[0] for line in said if "brackets get" in line]
        assert told == ([] if dealt is None else [dealt])

    def test_a_last_bracket_that_trains_to_the_end_by_design_is_not_told(self, tmp_path: Path) -> None:
        said: list[str] = []
        brackets = RungSettings(brackets=2)
        _begin(make_plan(epochs=3, grace_epochs=1, scheduler="asha", num_trials=3, rungs=brackets), tmp_path, said)
        assert not any("brackets" in line for line in said)


def make_plan_id(folder: Path) -> str:
    """The id of the sweep that was begun first in a folder."""
    rows = ResultsTable(LocalObjectStore(folder)).read("sweeps").to_pylist()
    return str(min(rows, key=lambda row: row["started_at"])["sweep_id"])
