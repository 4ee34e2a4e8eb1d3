"""Reading results from outside: by columns, sweeps and tools, compacted or not."""

import builtins
import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feature_toys import RecordingStore
from store_toys import keys_of
from table_writers import rows

from storage import result_rows
from storage.compaction import compact, tidy
from storage.errors import InvalidInput
from storage.generations import Partition
from storage.object_store import ObjectStore, open_store
from storage.results import result_files, results
from storage.results_table import ResultsTable
from storage.schema_docs import TABLE_DOCS, describe_table, describe_tables
from storage.schemas import TABLES

_PAGE = Path(__file__).parents[2] / "docs" / "results_table.md"


def _needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not importlib.util.find_spec(package), reason=f"{package} is not installed")


@pytest.fixture
def filled(store: ObjectStore) -> ObjectStore:
    """Two sweeps; of the first, two of three commits are compacted."""
    table = ResultsTable(store)
    for sweep_id in ("sweep-a", "sweep-b"):
        for name in ("seeds", "epochs"):
            for commit in ("t0", "t1"):
                table.commit(name, sweep_id=sweep_id, commit=commit, rows=rows(name, sweep_id, commit)[:1])
    for name in ("seeds", "epochs"):
        compact(store, Partition(table=name, sweep_id="sweep-a"))
        table.commit(name, sweep_id="sweep-a", commit="t2", rows=rows(name, "sweep-a", "t2")[:1])
    return store


class TestResults:
    def test_rows_come_as_arrow_or_pandas(self, filled: ObjectStore) -> None:
        found = results(filled.uri, table="seeds")
        assert isinstance(found, pa.Table)
        assert found.schema == TABLES["seeds"]
        assert sorted(found.column("trial_id").to_pylist()) == ["t0", "t0", "t1", "t1", "t2"]
        frame = results(filled.uri, table="seeds", sweep_id="sweep-b", columns=["trial_id", "seed"], as_="pandas")
        assert isinstance(frame, pd.DataFrame)
        assert frame.to_dict("list") == {"trial_id": ["t0", "t1"], "seed": [1, 1]}

    @_needs("polars")
    def test_rows_come_as_polars(self, filled: ObjectStore) -> None:
        import polars

        frame = results(filled.uri, table="seeds", columns=["trial_id", "test_recall"], as_="polars")
        assert isinstance(frame, polars.DataFrame)
        assert frame.sort("trial_id").row(-1) == ("t2", [0.5, 0.5])

    def test_without_polars_it_says_what_to_do(self, filled: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def without_polars(name: str, *arguments: Any, **named: Any) -> Any:
            if name == "polars":
                raise ImportError(name)
            return real(name, *arguments, **named)

        monkeypatch.setattr(builtins, "__import__", without_polars)
        with pytest.raises(InvalidInput, match=r"as_: got 'polars'.*pip install polars"):
            results(filled.uri, table="seeds", as_="polars")

    @pytest.mark.parametrize(
        ("words", "named"),
        [
            ({"table": "seed"}, r"results table: got 'seed'.*Did you mean 'seeds'"),
            ({"table": "seeds", "columns": ["accuracy_test"]}, r"column of seeds: got 'accuracy_test'.*Did you mean"),
            ({"table": "seeds", "as_": "polar"}, r"as_: got 'polar'; allowed: arrow, pandas, polars"),
        ],
    )
    def test_a_wrong_name_is_answered_with_the_right_ones(
        self, local_uri: str, words: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(InvalidInput, match=named):
            results(local_uri, **words)

    def test_a_store_without_results_is_named(self, store: ObjectStore) -> None:
        for look in (results, result_files):
            with pytest.raises(
                InvalidInput, match=rf"got '{re.escape(store.uri)}'; allowed: a store that holds results"
            ):
                look(store.uri, table="seeds")  # type: ignore[operator]

    def test_a_table_without_rows_is_empty(self, filled: ObjectStore) -> None:
        assert results(filled.uri, table="failures").num_rows == 0
        assert result_files(filled.uri, table="failures") == []
        assert results(filled.uri, table="seeds", sweep_id="sweep-c").num_rows == 0


class TestRanges:
    def test_of_large_objects_only_the_wanted_columns_are_fetched(
        self, local_uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, partition = open_store(local_uri), Partition(table="failures", sweep_id="s")
        for commit in ("t0", "t1"):
            row = rows("failures", "s", commit)[0]
            long = [{**row, "failure_id": str(i), "detail": os.urandom(100).hex()} for i in range(2000)]
            ResultsTable(store).commit("failures", sweep_id="s", commit=commit, rows=long)
        compact(store, partition)
        monkeypatch.setattr(result_rows, "_READ_WHOLE_BYTES", 1000)
        counted = RecordingStore(store)
        found = ResultsTable(counted).read("failures", columns=["failure_id"])
        assert found.num_rows == 4000
        assert found.schema.names == ["failure_id"]
        few = sum(counted.bytes_read.values())
        ResultsTable(counted).read("failures")
        assert few < (sum(counted.bytes_read.values()) - few) / 2

    def test_of_other_sweeps_nothing_is_fetched(self, filled: ObjectStore) -> None:
        counted = RecordingStore(filled)
        assert ResultsTable(counted).read("seeds", sweep_id="sweep-a").num_rows == 3
        assert all("sweep=sweep-a" in key for key in counted.bytes_read)

    def test_a_column_that_a_large_object_lacks_is_null(self, local_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(result_rows, "_READ_WHOLE_BYTES", 0)
        store = open_store(local_uri)
        path = Path(local_uri, Partition(table="seeds", sweep_id="s").commit_key("old"))
        path.parent.mkdir(parents=True)
        older = pa.Table.from_pylist(rows("seeds", "s", "old"), schema=TABLES["seeds"]).drop_columns(["test_auc"])
        pq.write_table(older, path)
        read = ResultsTable(store).read
        assert read("seeds", columns=["test_auc"]).to_pydict() == {"test_auc": [None, None]}
        assert read("seeds", columns=["test_auc", "seed"]).to_pydict() == {"test_auc": [None, None], "seed": [1, 1]}


class TestFiles:
    def test_they_hold_every_row_once(self, filled: ObjectStore) -> None:
        files = result_files(filled.uri, table="seeds")
        assert len(files) == 4  # a segment, and three commits
        assert all(file.startswith(filled.uri) for file in files)
        held = [trial_id for file in files for trial_id in store_rows(filled, file)]
        assert sorted(held) == sorted(results(filled.uri, table="seeds").column("trial_id").to_pylist())

    @_needs("duckdb")
    def test_the_pages_sql_runs(self, local_uri: str) -> None:
        example = _PAGE.read_text().partition("<!-- example: duckdb -->\n```python\n")[2].partition("```")[0]
        store = open_store(local_uri)
        for name in ("seeds", "epochs"):
            for commit in ("t0", "t1", "t2"):
                new = rows(name, "sweep-a", commit)
                ResultsTable(store).commit(name, sweep_id="sweep-a", commit=commit, rows=new)
                if commit == "t1":
                    compact(store, Partition(table=name, sweep_id="sweep-a"))
        found: dict[str, Any] = {"uri": local_uri}
        exec(compile(example, str(_PAGE), "exec"), found)
        assert found["ranked"].fetchall()[0][3:] == (0.5, 0.0, 2)
        assert len(found["ranked"].fetchall()) == 3
        assert sorted(found["best"].fetchall()) == [("sweep-a", f"t{number}", 0.5) for number in range(3)]

    @_needs("polars")
    def test_polars_reads_a_tables_folder_after_it_was_tidied(self, local_uri: str) -> None:
        import polars

        store = open_store(local_uri)
        for commit in ("t0", "t1"):
            ResultsTable(store).commit("seeds", sweep_id="s", commit=commit, rows=rows("seeds", "s", commit)[:1])
        folder = Path(local_uri, "results", "seeds")
        for _ in range(2):
            frame = polars.read_parquet(folder / "**" / "*.parquet", hive_partitioning=True)
            assert sorted(frame["trial_id"]) == ["t0", "t1"]
            assert set(frame["sweep"]) == {"s"}
            compact(store, Partition(table="seeds", sweep_id="s"))
            tidy(store, Partition(table="seeds", sweep_id="s"), settled_before=float("inf"))
        assert len(keys_of(store, "results/")) == 1


# A writer that is killed while it writes, or when its commit has just come into its place.
_KILLED_COMMIT = """
import os, signal, sys
sys.path.insert(0, "tests/toys")
from table_writers import rows
from storage.object_store import open_store
from storage.results_table import ResultsTable
name = sys.argv[2]
real = getattr(os, name)
def die(*arguments):
    if name == "link":
        real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, name, die)
new = rows("seeds", "s", "t0")
ResultsTable(open_store(sys.argv[1])).commit("seeds", sweep_id="s", commit="t0", rows=new[:1])
"""


@pytest.mark.parametrize(("at", "expected"), [("link", ["t0", "t1"]), ("fsync", ["t1"])])
def test_after_a_writer_was_killed_other_readers_see_what_results_sees(
    local_uri: str, at: str, expected: list[str]
) -> None:
    command = [sys.executable, "-c", _KILLED_COMMIT, local_uri, at]
    killed = subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -signal.SIGKILL
    ResultsTable(open_store(local_uri)).commit("seeds", sweep_id="s", commit="t1", rows=rows("seeds", "s", "t1")[:1])
    folder = Path(local_uri, "results", "seeds")
    assert sorted(results(local_uri, table="seeds").column("trial_id").to_pylist()) == expected
    assert sorted(pd.read_parquet(folder)["trial_id"]) == expected
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"SELECT trial_id FROM read_parquet('{folder}/**/*.parquet')").fetchall()
    assert sorted(trial_id for (trial_id,) in found) == expected
    polars = pytest.importorskip("polars")
    for source in (folder, folder / "**" / "*.parquet"):
        assert sorted(polars.read_parquet(source)["trial_id"]) == expected


def store_rows(store: ObjectStore, file: str) -> list[str]:
    """The trials in an object that was named by its full address."""
    data = store.get(file.removeprefix(f"{store.uri}/"))
    names: list[str] = pq.read_table(pa.BufferReader(data)).column("trial_id").to_pylist()
    return names


class TestDocumentation:
    @pytest.mark.parametrize("table", TABLES)
    def test_every_column_is_described(self, table: str) -> None:
        described = TABLE_DOCS[table].columns
        assert list(described) == TABLES[table].names, f"describe each column of {table} in storage/schema_docs.py"
        assert all(column.meaning.endswith((".", "…")) for column in described.values())

    def test_no_other_table_is_described(self) -> None:
        assert list(TABLE_DOCS) == list(TABLES)

    def test_durations_and_shares_have_their_unit(self) -> None:
        for doc in TABLE_DOCS.values():
            for name, column in doc.columns.items():
                assert (column.unit == "s") == name.endswith("_seconds")
                assert (column.unit == "UTC") == name.endswith("_at")

    def test_types_are_told_in_words(self) -> None:
        text = describe_table("seeds")
        assert "| `test_confusion` | list of list of int64 | clips |" in text
        assert "| `test_auc` | float64, may be null | share, 0–1 |" in text

    def test_the_page_is_up_to_date(self) -> None:
        assert describe_tables() in _PAGE.read_text(), "run: python jobs/describe_tables.py into=docs/results_table.md"
