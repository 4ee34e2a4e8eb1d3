"""Rows of a few trials: those and no others, compacted or not, and no object of another trial is fetched."""

from pathlib import Path
from typing import Any

import pytest

from storage.chosen_trials import read_trials
from storage.compaction import compact
from storage.errors import InvalidInput
from storage.generations import Partition
from storage.object_store import open_store
from storage.results_table import ResultsTable


class CountingTable(ResultsTable):
    """Notes the keys of all objects that are fetched."""

    def __init__(self, root: Path) -> None:
        super().__init__(open_store(str(root)))
        self.fetched: list[str] = []
        get = self.store.get

        def noted(key: str) -> bytes:
            self.fetched.append(key)
            return get(key)

        self.store.get = noted  # type: ignore[method-assign]


@pytest.fixture
def table(tmp_path: Path) -> CountingTable:
    results = CountingTable(tmp_path / "store")
    for trial_id in ("aa", "ab", "aaa", "b"):
        for seed in (1, 2):
            results.commit("predictions", sweep_id="s", commit=f"{trial_id}-seed{seed}", rows=[_row(trial_id, seed)])
    results.commit("predictions", sweep_id="other", commit="aa-seed1", rows=[{**_row("aa", 9), "sweep_id": "other"}])
    return results


def _row(trial_id: str, seed: int) -> dict[str, Any]:
    row = {"sweep_id": "s", "trial_id": trial_id, "seed": seed, "part": "test", "clip_id": "c"}
    return {**row, "label": 0, "predicted": 0, "probabilities": [1.0]}


def _found(table: ResultsTable, *trial_ids: str) -> list[tuple[str, int]]:
    rows = read_trials(table, "predictions", sweep_id="s", trial_ids=trial_ids)
    return sorted(zip(rows.column("trial_id").to_pylist(), rows.column("seed").to_pylist(), strict=True))


def test_rows_of_other_trials_and_sweeps_are_left_out(table: CountingTable) -> None:
    assert _found(table, "aa", "b") == [("aa", 1), ("aa", 2), ("b", 1), ("b", 2)]
    assert _found(table, "none") == []
    assert _found(table) == []


def test_no_object_of_another_trial_is_fetched(table: CountingTable) -> None:
    table.fetched.clear()
    _found(table, "aa")
    assert sorted(key.rpartition("/")[2] for key in table.fetched) == ["aa-seed1.parquet", "aa-seed2.parquet"]


def test_compacted_and_later_rows_are_found_once(table: CountingTable) -> None:
    compact(table.store, Partition(table="predictions", sweep_id="s"))
    table.commit("predictions", sweep_id="s", commit="aa-seed3", rows=[_row("aa", 3)])
    assert _found(table, "aa") == [("aa", 1), ("aa", 2), ("aa", 3)]
    assert _found(table, "none") == []


def test_only_wanted_columns_are_read(table: CountingTable) -> None:
    rows = read_trials(table, "predictions", sweep_id="s", trial_ids=["b"], columns=["trial_id", "clip_id"])
    assert rows.column_names == ["trial_id", "clip_id"]
    assert rows.num_rows == 2


def test_a_table_whose_commits_are_named_otherwise_is_refused(table: CountingTable) -> None:
    with pytest.raises(InvalidInput, match="predictions"):
        read_trials(table, "suggestions", sweep_id="s", trial_ids=["aa"])
