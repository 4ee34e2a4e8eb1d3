"""Compaction: what it makes of commits, which names stay taken, and what readers see of it."""

import pickle
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from compaction_toys import EVER, SWEEP, finish, once, rows_of, seen_plainly, write
from store_toys import HookedStore, MemoryStore, keys_of

from storage import compaction, result_rows, results_table
from storage.compaction import Compacted, compact, tidy, uncompacted
from storage.errors import DamagedObject, ObjectNotFound, StorageError
from storage.generations import Partition, newest_generation, partitions, snapshot
from storage.object_store import ObjectStore, open_store
from storage.parquet import to_parquet
from storage.results_table import ResultsTable
from storage.schemas import TABLES


class TestCompact:
    def test_many_commits_become_one_object_with_the_same_rows(self, store: ObjectStore) -> None:
        for number in range(6):
            write(store, f"t{number}", num_rows=number)
        before = rows_of(store)
        done = compact(store, SWEEP)
        assert done == Compacted(partition=SWEEP, outcome="compacted", num_commits=6, num_rows=15, num_segments=1)
        assert rows_of(store) == before
        assert [info.key.rpartition(".")[2] for info in snapshot(store, "failures")] == ["parquet"]
        assert ResultsTable(store).commits("failures", sweep_id="s") == {f"t{number}" for number in range(6)}

    def test_nothing_is_deleted_before_it_is_tidied(self, store: ObjectStore) -> None:
        commits = [write(store, f"t{number}") and SWEEP.commit_key(f"t{number}") for number in range(3)]
        compact(store, SWEEP)
        assert keys_of(store, "results/") == commits
        tidied = tidy(store, SWEEP, settled_before=EVER)
        assert (tidied.num_deleted, tidied.num_copied) == (3, 1)
        assert len(keys_of(store, "results/")) == 1
        assert rows_of(store) == once("t0", "t1", "t2")

    def test_what_is_tidied_is_older_than_was_asked_for(self, store: ObjectStore) -> None:
        write(store, "t0")
        write(store, "t1")
        compact(store, SWEEP)
        written_at = min(info.modified_at for info in store.list("compacted/") if info.key.endswith(".json"))
        assert tidy(store, SWEEP, settled_before=written_at).num_deleted == 0
        assert len(keys_of(store, "results/")) == 2
        assert tidy(store, SWEEP, settled_before=written_at + 1).num_deleted == 2

    def test_later_commits_are_merged_into_small_segments(self, memory: MemoryStore) -> None:
        names = [f"t{number}" for number in range(9)]
        for first in range(0, 9, 3):
            for name in names[first : first + 3]:
                write(memory, name)
            finish(memory)
        assert rows_of(memory) == once(*names)
        assert len(snapshot(memory, "failures")) == len(keys_of(memory, "results/")) == 1
        assert len([key for key in keys_of(memory, "compacted/") if key.endswith("rows.parquet")]) == 1

    def test_large_segments_are_left_alone(self, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compaction, "SEGMENT_BYTES", 1)
        monkeypatch.setattr(result_rows, "_OBJECTS_AT_ONCE", 2)
        for number in range(4):
            write(memory, f"t{number}")
        compact(memory, SWEEP)
        first = newest_generation(memory, SWEEP).segments
        assert [segment.num_commits for segment in first] == [2, 2]
        for number in range(4, 7):
            write(memory, f"t{number}")
        compact(memory, SWEEP)
        assert newest_generation(memory, SWEEP).segments[:2] == first
        assert rows_of(memory) == once(*(f"t{number}" for number in range(7)))

    def test_with_too_few_new_commits_nothing_is_done(self, memory: MemoryStore) -> None:
        write(memory, "t0")
        assert compact(memory, SWEEP).outcome == "nothing new"
        assert keys_of(memory, "compacted/") == []
        assert compact(memory, SWEEP, min_commits=1).outcome == "compacted"
        assert compact(memory, SWEEP, min_commits=0).outcome == "nothing new"

    def test_a_sweep_is_compacted_by_itself(self, store: ObjectStore) -> None:
        for sweep_id in ("s", "s-b"):
            for number in range(2):
                write(store, f"{sweep_id}{number}", sweep_id=sweep_id)
        compact(store, SWEEP)
        assert rows_of(store) == once("s0", "s1", "s-b0", "s-b1")
        assert ResultsTable(store).read("failures", sweep_id="s").num_rows == 2
        assert partitions(store, "failures") == [SWEEP, Partition(table="failures", sweep_id="s-b")]
        assert {key: len(left) for key, left in uncompacted(store, "failures").items()} == {
            SWEEP: 0,
            Partition(table="failures", sweep_id="s-b"): 2,
        }

    def test_progress_is_told(self, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(result_rows, "_OBJECTS_AT_ONCE", 2)
        for number in range(5):
            write(memory, f"t{number}")
        told: list[tuple[int, int]] = []
        compact(memory, SWEEP, tell=lambda done, total: told.append((done, total)))
        assert told == [(2, 5), (4, 5), (5, 5)]


class TestNames:
    @pytest.mark.parametrize("is_tidied", [False, True])
    def test_a_compacted_name_stays_taken(self, store: ObjectStore, is_tidied: bool) -> None:
        for number in range(3):
            write(store, f"t{number}")
        compact(store, SWEEP)
        if is_tidied:
            tidy(store, SWEEP, settled_before=EVER)
        assert not write(store, "t1", reason="again")
        assert write(store, "t3")
        assert set(ResultsTable(store).read("failures").column("reason").to_pylist()) == {"r"}
        assert rows_of(store) == once("t0", "t1", "t2", "t3")

    def test_a_commit_without_rows_stays_taken(self, store: ObjectStore) -> None:
        write(store, "empty", num_rows=0)
        write(store, "t0")
        finish(store)
        assert not write(store, "empty")
        assert rows_of(store) == once("t0")

    def test_a_writer_that_has_not_heard_of_the_compaction_makes_no_duplicate(self, store: ObjectStore) -> None:
        late, row = ResultsTable(store), {"sweep_id": "s", "failure_id": "0", "reason": "r", "detail": ""}
        rows = [{**row, "trial_id": "t0", "failed_at": datetime.now(UTC)}]
        assert late.commit("failures", sweep_id="s", commit="other", rows=[{**rows[0], "trial_id": "other"}])
        write(store, "t0")
        finish(store)  # sooner than anybody may
        late.commit("failures", sweep_id="s", commit="t0", rows=rows)
        assert rows_of(store) == once("other", "t0")
        finish(store)
        assert rows_of(store) == once("other", "t0")
        assert len(keys_of(store, "results/")) == 1

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Seconds since a writer's machine was started. It is suspended in between: its other clocks stand still."""
        clock = [0.0]
        of_clock = {getattr(time, "CLOCK_BOOTTIME", results_table._CLOCK): clock}
        monkeypatch.setattr(time, "monotonic", lambda: 0.0)
        monkeypatch.setattr(time, "clock_gettime", lambda clock_id: of_clock.get(clock_id, [0.0])[0])
        return clock

    @pytest.mark.parametrize("may_delete", [True, False])
    def test_a_writer_that_was_asleep_is_told_that_the_name_is_taken(
        self, memory: MemoryStore, clock: list[float], may_delete: bool
    ) -> None:
        write(memory, "t0")
        write(memory, "t1")

        def sleep(_: int, name: str) -> None:
            if name == "put_if_absent":
                finish(memory)
                clock[0] += compaction.MIN_GRACE_S
            if name == "delete" and not may_delete:
                raise StorageError("refused")

        assert not write(HookedStore(memory, before=sleep), "t0", reason="again")
        assert rows_of(memory) == once("t0", "t1")
        if not may_delete:
            assert tidy(memory, SWEEP, settled_before=EVER).num_deleted == 1
        assert rows_of(memory) == seen_plainly(memory) == once("t0", "t1")
        assert SWEEP.commit_key("t0") not in keys_of(memory)

    @pytest.mark.parametrize("is_compacted", [False, True])
    def test_a_writer_whose_commit_is_compacted_before_it_is_answered_keeps_it(
        self, memory: MemoryStore, clock: list[float], is_compacted: bool
    ) -> None:
        write(memory, "t0")
        if is_compacted:
            compact(memory, SWEEP, min_commits=1)

        def linger(_: int, name: str) -> None:
            if name == "put_if_absent":
                compact(memory, SWEEP, min_commits=1)
                clock[0] += 2 * results_table._TRUSTED_S

        assert write(HookedStore(memory, after=linger), "t1")
        assert rows_of(memory) == seen_plainly(memory) == once("t0", "t1")
        finish(memory)
        assert rows_of(memory) == seen_plainly(memory) == once("t0", "t1")

    def test_a_writer_whose_commit_was_tidied_before_it_is_answered_ends(
        self, memory: MemoryStore, clock: list[float]
    ) -> None:
        write(memory, "t0")
        finish(memory)

        def linger(_: int, name: str) -> None:
            if name == "put_if_absent":
                finish(memory)
                clock[0] += 2 * compaction.MIN_GRACE_S

        write(HookedStore(memory, after=linger), "t1")
        assert rows_of(memory) == seen_plainly(memory) == once("t0", "t1")

    def test_a_writer_asks_for_compacted_names_once_a_minute_at_most(self, memory: MemoryStore) -> None:
        calls: list[str] = []
        results = ResultsTable(HookedStore(memory, before=lambda _, name: calls.append(name)))
        for number in range(50):
            row = {"sweep_id": "s", "trial_id": "t", "failure_id": "0", "reason": "r", "detail": ""}
            rows = [{**row, "failed_at": datetime.now(UTC)}]
            assert results.commit("failures", sweep_id="s", commit=f"t{number}", rows=rows)
        assert calls.count("put_if_absent") == 50
        assert calls.count("list") == 1
        assert len(calls) == 51

    def test_writers_trust_what_they_know_for_much_less_than_the_grace(self) -> None:
        assert compaction.MIN_GRACE_S >= 10 * results_table._TRUSTED_S

    def test_a_pickled_table_knows_its_names_anew(self, memory: MemoryStore) -> None:
        results = ResultsTable(memory)
        write(memory, "t0")
        write(memory, "t1")
        results.commits("failures", sweep_id="s")
        finish(memory)
        again = pickle.loads(pickle.dumps(results._compacted))
        again._store = memory
        assert again.holds(SWEEP, "t0")

    def test_names_of_copies_are_refused(self, memory: MemoryStore) -> None:
        with pytest.raises(ValueError, match=r"commit: got 'compacted-0'.*no compacted-"):
            write(memory, "compacted-0")


class TestVersions:
    def test_commits_from_before_a_column_was_added_are_compacted_as_null(self, memory: MemoryStore) -> None:
        row = {"sweep_id": "s", "trial_id": "t", "number": 0, "architecture": "cnn", "state": "stopped"}
        rows = pa.Table.from_pylist([{**row, "seed_epochs": 1, "ended_at": 0}], schema=TABLES["trials"])
        partition = Partition(table="trials", sweep_id="s")
        memory.put(partition.commit_key("older"), to_parquet(rows.drop_columns(["objective"])))
        memory.put(partition.commit_key("newer"), to_parquet(rows))
        assert compact(memory, partition).outcome == "compacted"
        assert ResultsTable(memory).read("trials").column("objective").to_pylist() == [None, None]

    def test_columns_that_only_a_newer_version_knows_are_not_compacted_away(self, memory: MemoryStore) -> None:
        write(memory, "t0")
        write(memory, "t1")
        key = SWEEP.commit_key("t1")
        newer = pa.table({**self._columns(memory, key), "cause": ["x"]})
        memory.put(key, to_parquet(newer))
        with pytest.raises(StorageError, match=r"t1.parquet' has a column 'cause'.*Compact with the newest version"):
            compact(memory, SWEEP)
        assert keys_of(memory, "compacted/") == []
        assert rows_of(memory) == once("t0", "t1")

    def test_a_damaged_commit_is_named_and_nothing_changes(self, store: ObjectStore) -> None:
        write(store, "t0")
        write(store, "t1")
        key = SWEEP.commit_key("t1")
        store.put(key, store.get(key)[:-20])
        with pytest.raises(StorageError, match=f"{key}' is damaged"):
            compact(store, SWEEP)
        assert keys_of(store, "compacted/") == []

    def test_a_damaged_segment_is_named_with_where_its_rows_may_be_found(self, store: ObjectStore) -> None:
        write(store, "t0")
        write(store, "t1")
        finish(store)
        key = next(key for key in keys_of(store, "compacted/") if key.endswith(".rows.parquet"))
        whole = store.get(key)
        store.put(key, whole[:-20])
        write(store, "t2")
        for look in (rows_of, lambda store: compact(store, SWEEP, min_commits=1)):
            with pytest.raises(DamagedObject, match=r"rows.parquet' is damaged .*Restore it.*compacted-") as caught:
                look(store)
            assert "Delete" not in str(caught.value)
        store.put(key, store.get(next(key for key in keys_of(store, "results/") if "compacted-" in key)))
        assert store.get(key) == whole
        assert rows_of(store) == once("t0", "t1", "t2")

    def test_a_lost_segment_is_no_rival(self, memory: MemoryStore) -> None:
        write(memory, "t0")
        write(memory, "t1")
        finish(memory)
        for key in keys_of(memory, "compacted/"):
            if key.endswith(".rows.parquet"):
                memory.delete(key)
        write(memory, "t2")
        for look in (rows_of, lambda store: compact(store, SWEEP, min_commits=1)):
            with pytest.raises(ObjectNotFound, match=r"rows\.parquet"):
                look(memory)

    @pytest.mark.parametrize(
        ("content", "named"),
        [
            (b"{", "is damaged"),
            (b'{"version": 1}', "is damaged"),
            (b'{"version": 2}', "is of a later version"),
            (b"[]", "is dam"),
        ],
    )
    def test_a_damaged_generation_is_named(self, memory: MemoryStore, content: bytes, named: str) -> None:
        write(memory, "t0")
        memory.put(SWEEP.generation_key(1), content)
        with pytest.raises(StorageError, match=f"00000001.json' {named}"):
            rows_of(memory)

    def _columns(self, store: ObjectStore, key: str) -> dict[str, Any]:
        row = ResultsTable(store).read("failures").slice(1, 1)
        return dict(zip(row.column_names, row.columns, strict=True))


class TestPlainReaders:
    """Readers of the folder that know of no generations."""

    def test_they_see_every_row_once_before_and_after_and_never_twice(
        self, local_uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(compaction, "READ_THREADS", 1)  # pandas fails where a file goes while it reads
        store = open_store(local_uri)
        for number in range(3):
            write(store, f"t{number}")
        folder = Path(local_uri, "results", "failures")
        seen = []

        def look(*_: object) -> None:
            seen.append(pd.read_parquet(folder)["trial_id"].tolist() if any(folder.rglob("*.parquet")) else [])

        compact(HookedStore(store, before=look, after=look), SWEEP)
        assert all(sorted(rows) == ["t0", "t1", "t2"] for rows in seen)
        tidy(HookedStore(store, before=look, after=look), SWEEP, settled_before=EVER)
        write(store, "t3")
        look()
        assert all(len(set(rows)) == len(rows) for rows in seen)
        assert sorted(seen[-1]) == ["t0", "t1", "t2", "t3"]

    def test_a_copy_of_an_outdated_segment_goes(self, local_uri: str) -> None:
        store = open_store(local_uri)
        for commits in ("ab", "cd"):
            for commit in commits:
                write(store, commit)
            finish(store)
        frame = pd.read_parquet(Path(local_uri, "results", "failures"))
        assert sorted(frame["trial_id"]) == ["a", "b", "c", "d"]
