"""The results tables: every commit is there once, whoever writes it and how often, and reads back as it was written."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from storage.errors import InvalidInput, StorageError
from storage.object_store import ObjectStore, open_store
from storage.parquet import to_parquet
from storage.results_table import ResultsTable
from storage.schemas import SEEDS, TABLES

_NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def _trial(**changes: Any) -> dict[str, Any]:
    row = {
        "sweep_id": "sweep-a",
        "trial_id": "t0",
        "number": 0,
        "architecture": "cnn",
        "state": "finished",
        "seed_epochs": 30,
        "objective": 0.1 + 0.2,
        "ended_at": _NOW,
    }
    return {**row, **changes}


def _seed(**changes: Any) -> dict[str, Any]:
    row = {
        "sweep_id": "sweep-a",
        "trial_id": "t0",
        "architecture": "cnn",
        "seed": 2**62 + 1,
        "best_epoch": 7,
        "epochs_trained": 10,
        "validation_accuracy": 2 / 3,
        "validation_macro_f1": 0.5,
        "test_accuracy": 1.0,
        "test_macro_f1": 0.0,
        "test_auc": None,
        "test_recall": [1 / 3, 0.0, 1.0],
        "test_confusion": [[1, 2, 0], [0, 0, 0], [0, 0, 9]],
        "train_seconds": 12.5,
        "num_parameters": 11_000_000_000,
        "device": "cpu",
    }
    return {**row, **changes}


@pytest.fixture
def results(store: ObjectStore) -> ResultsTable:
    return ResultsTable(store)


class TestCommit:
    def test_a_commit_made_twice_is_one_row(self, results: ResultsTable) -> None:
        assert results.commit("trials", sweep_id="sweep-a", commit="t0", rows=[_trial()])
        assert not results.commit("trials", sweep_id="sweep-a", commit="t0", rows=[_trial(state="stopped")])
        assert results.read("trials").to_pylist() == [{**_trial(), "known_from": None}]

    def test_the_same_rows_are_the_same_bytes(self, results: ResultsTable) -> None:
        for commit in ("first", "again"):
            results.commit("seeds", sweep_id="sweep-a", commit=commit, rows=[_seed()])
        objects = [results.store.get(info.key) for info in results.store.list("results/seeds/")]
        assert len(objects) == 2
        assert objects[0] == objects[1]

    def test_rows_may_come_from_a_generator(self, results: ResultsTable) -> None:
        rows = (_trial(number=number) for number in range(3))
        results.commit("trials", sweep_id="sweep-a", commit="t0", rows=rows)
        assert results.read("trials").column("number").to_pylist() == [0, 1, 2]

    @pytest.mark.parametrize(
        ("row", "named"),
        [
            ({**_trial(), "accuracy": 1.0}, "accuracy"),
            ({name: value for name, value in _trial().items() if name != "state"}, "state"),
            (_trial(number="zero"), "zero"),
            (_trial(number=2**40), "too large"),
            (_trial(number=2**70), "too large"),
            (_trial(number=1.5), r"number: got 1\.5"),
            (_trial(architecture=5), "int"),
            (_trial(ended_at="yesterday"), "str"),
            (_trial(state=None), "state"),
        ],
    )
    def test_a_row_that_does_not_fit_is_refused(self, local_uri: str, row: dict[str, Any], named: str) -> None:
        results = ResultsTable(open_store(local_uri))
        with pytest.raises(ValueError, match=f"trials.*{named}"):
            results.commit("trials", sweep_id="sweep-a", commit="t0", rows=[_trial(), row])
        assert results.read("trials").num_rows == 0

    @pytest.mark.parametrize("name", ["", "../t0", "a/b", "a b", "t0\n", "ü", "nul\0"])
    @pytest.mark.parametrize("field", ["commit", "sweep_id"])
    def test_names_have_plain_characters(self, local_uri: str, field: str, name: str) -> None:
        names = {"commit": "t0", "sweep_id": "sweep-a", field: name}
        with pytest.raises(ValueError, match=f"{field}: got .*; allowed: letters, digits"):
            ResultsTable(open_store(local_uri)).commit("trials", rows=[_trial()], **names)

    def test_an_unknown_table_is_named_with_the_nearest(self, results: ResultsTable) -> None:
        with pytest.raises(InvalidInput, match=r"'trails'.*Did you mean 'trials'"):
            results.commit("trails", sweep_id="sweep-a", commit="t0", rows=[_trial()])


class TestRead:
    @pytest.mark.parametrize("table", TABLES)
    def test_an_empty_table_has_its_columns(self, results: ResultsTable, table: str) -> None:
        for sweep_id in (None, "sweep-a"):
            found = results.read(table, sweep_id=sweep_id)
            assert found.num_rows == 0
            assert found.schema == TABLES[table]

    def test_one_sweep_or_all(self, results: ResultsTable) -> None:
        for sweep_id in ("sweep-a", "sweep-ab", "sweep-b"):
            for number in range(2):
                row = _trial(sweep_id=sweep_id, number=number)
                results.commit("trials", sweep_id=sweep_id, commit=f"t{number}", rows=[row])
        assert results.read("trials").num_rows == 6
        assert set(results.read("trials", sweep_id="sweep-a").column("sweep_id").to_pylist()) == {"sweep-a"}
        assert results.read("trials", sweep_id="sweep-a").num_rows == 2
        assert results.read("trials", sweep_id="sweep-none").num_rows == 0

    def test_nulls_and_nested_lists_come_back(self, results: ResultsTable) -> None:
        rows = [_seed(), _seed(seed=1, test_auc=0.75, test_recall=[], test_confusion=[[], []])]
        results.commit("seeds", sweep_id="sweep-a", commit="t0-seeds", rows=rows)
        found = results.read("seeds")
        assert found.schema == SEEDS
        may_be_null = {field.name: None for field in SEEDS if field.nullable}
        assert found.to_pylist() == [{**may_be_null, **row} for row in rows]

    def test_a_recall_without_clips_stays_nan(self, results: ResultsTable) -> None:
        results.commit("seeds", sweep_id="sweep-a", commit="t0", rows=[_seed(test_recall=[math.nan, 0.5])])
        recall = results.read("seeds").column("test_recall").to_pylist()[0]
        assert math.isnan(recall[0])
        assert recall[1] == 0.5

    def test_a_commit_from_before_a_column_was_added_reads_as_null(self, results: ResultsTable) -> None:
        older = pa.Table.from_pylist([_seed()], schema=SEEDS).drop_columns(["test_auc"])
        results.store.put("results/seeds/sweep=sweep-a/older.parquet", to_parquet(older))
        results.commit("seeds", sweep_id="sweep-a", commit="newer", rows=[_seed(test_auc=0.5)])
        assert results.read("seeds").column("test_auc").to_pylist() == [0.5, None]

    def test_a_commit_without_a_required_column_is_named(self, results: ResultsTable) -> None:
        other = pa.Table.from_pylist([_trial()], schema=TABLES["trials"]).drop_columns(["state"])
        results.store.put("results/trials/sweep=sweep-a/other.parquet", to_parquet(other))
        with pytest.raises(StorageError, match=r"results/trials/sweep=sweep-a/other.parquet.*does not fit"):
            results.read("trials")

    def test_a_damaged_commit_is_named(self, results: ResultsTable) -> None:
        results.commit("trials", sweep_id="sweep-a", commit="t0", rows=[_trial()])
        key = "results/trials/sweep=sweep-a/t0.parquet"
        results.store.put(key, results.store.get(key)[:-20])
        with pytest.raises(StorageError, match=f"{key}' is damaged"):
            results.read("trials")


class TestHivePartitions:
    @pytest.fixture
    def folder(self, local_uri: str) -> Path:
        results = ResultsTable(open_store(local_uri))
        for sweep_id in ("0123456789", "abc"):  # a hash may look like a number
            for number in range(2):
                row = _trial(sweep_id=sweep_id, number=number)
                results.commit("trials", sweep_id=sweep_id, commit=f"t{number}", rows=[row])
        return Path(local_uri, "results", "trials")

    def test_pandas_reads_the_folder(self, folder: Path) -> None:
        frame = pd.read_parquet(folder)
        assert len(frame) == 4
        assert set(frame["sweep_id"]) == {"0123456789", "abc"}
        assert set(frame["sweep"].astype(str)) == {"0123456789", "abc"}
        assert set(frame["objective"]) == {0.1 + 0.2}

    def test_a_dataset_is_filtered_by_its_folders(self, folder: Path) -> None:
        dataset = ds.dataset(folder, partitioning=ds.partitioning(pa.schema([("sweep", pa.string())]), flavor="hive"))
        chosen = ds.field("sweep") == "abc"
        assert len(list(dataset.get_fragments(filter=chosen))) == 2
        assert dataset.to_table(filter=chosen).column("number").to_pylist() == [0, 1]


_COMMIT_OVERLAPPING = """
from datetime import UTC, datetime
from storage.object_store import open_store
from storage.results_table import ResultsTable
results, number = ResultsTable(open_store(sys.argv[1])), int(sys.argv[2])
def row(commit):
    return dict(sweep_id="s", trial_id=f"t{commit}", failure_id=str(number), reason="r", detail="", failed_at=now)
now = datetime.now(UTC)
wait_for_start()
mine = range(number * 10, number * 10 + 40)
print(*[c for c in mine if results.commit("failures", sweep_id="s", commit=f"t{c}", rows=[row(c), row(c)])])
"""


def test_of_processes_that_do_the_same_work_every_commit_is_there_once(
    local_uri: str, race_processes: Callable[..., list[str]]
) -> None:
    printed = race_processes(_COMMIT_OVERLAPPING, local_uri, num_processes=8)
    writer_of = {f"t{commit}": str(number) for number, commits in enumerate(printed) for commit in commits.split()}
    assert sum(len(commits.split()) for commits in printed) == len(writer_of) == 110
    rows = ResultsTable(open_store(local_uri)).read("failures").to_pylist()
    assert sorted(row["trial_id"] for row in rows) == sorted([f"t{commit}" for commit in range(110)] * 2)
    assert all(writer_of[row["trial_id"]] == row["failure_id"] for row in rows)
