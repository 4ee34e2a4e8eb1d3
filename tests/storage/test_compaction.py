"""Compaction: readers see every row once at every moment, whatever dies, whoever else is at work."""

import math
import pickle
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from store_toys import HookedStore, Killed, MemoryStore, keys_of, kill_at

from storage import compaction, result_rows, results_table
from storage.compaction import Compacted, compact, tidy, uncompacted
from storage.errors import DamagedObject, ObjectNotFound, StorageError
from storage.generations import Partition, newest_generation, partitions, snapshot
from storage.object_store import ObjectStore, open_store
from storage.parquet import to_parquet
from storage.results_table import ResultsTable
from storage.schemas import TABLES

SWEEP = Partition(table="failures", sweep_id="s")
EVER = math.inf  # settled_before: every generation is old enough


def write(store: ObjectStore, commit: str, *, num_rows: int = 1, sweep_id: str = "s", reason: str = "r") -> bool:
    row = {"sweep_id": sweep_id, "trial_id": commit, "reason": reason, "detail": "", "failed_at": datetime.now(UTC)}
    rows = [{**row, "failure_id": str(number)} for number in range(num_rows)]
    return ResultsTable(store).commit("failures", sweep_id=sweep_id, commit=commit, rows=rows)


def rows_of(store: ObjectStore) -> list[tuple[str, str]]:
    """(commit, number of its row) of every row that a new reader sees."""
    table = ResultsTable(store).read("failures", columns=["trial_id", "failure_id"])
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True))


def once(*commits: str) -> list[tuple[str, str]]:
    return sorted((commit, "0") for commit in commits)


def finish(store: ObjectStore) -> None:
    compact(store, SWEEP, min_commits=1)
    tidy(store, SWEEP, settled_before=EVER)


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


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

    def test_a_writer_that_was_asleep_is_told_that_the_name_is_taken(
        self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(store, "t0")
        write(store, "t1")
        clock = [0.0]
        monkeypatch.setattr(results_table, "time", SimpleNamespace(monotonic=lambda: clock[0]))

        def sleep(_: int, name: str) -> None:
            if name == "put_if_absent":
                finish(store)
                clock[0] += compaction.MIN_GRACE_S

        assert not write(HookedStore(store, before=sleep), "t0", reason="again")
        assert rows_of(store) == once("t0", "t1")
        assert SWEEP.commit_key("t0") not in keys_of(store)

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


class TestKilled:
    """The process dies at any of its calls to the store, carried out or not; the next one goes on."""

    @pytest.mark.parametrize("applied", [False, True])
    @pytest.mark.parametrize("kind", ["memory", "s3"])
    def test_it_loses_and_doubles_nothing(self, kind: str, applied: bool, request: pytest.FixtureRequest) -> None:
        calls = self._count_calls()
        assert calls > 15
        store = MemoryStore() if kind == "memory" else open_store(request.getfixturevalue("s3_uri"))
        for number in range(0, calls, 1 if kind == "memory" else 7):
            for key in keys_of(store):
                store.delete(key)
            self._prepare(store)
            with pytest.raises(Killed):
                finish(HookedStore(store, **kill_at(number, applied=applied)))
            assert rows_of(store) == once(*"abcde"), f"killed at call {number}"
            assert not write(store, "a", reason="late retry")
            assert write(store, "f")
            finish(store)
            assert rows_of(store) == once(*"abcdef"), f"finished after a kill at call {number}"
            assert self._left(store) == 1

    def test_a_killed_reader_or_writer_leaves_nothing(self, memory: MemoryStore) -> None:
        self._prepare(memory)
        keys = keys_of(memory)
        for number in range(3):
            with pytest.raises(Killed):
                rows_of(HookedStore(memory, **kill_at(number, applied=True)))
        assert keys_of(memory) == keys

    def _count_calls(self) -> int:
        calls: list[str] = []
        store = MemoryStore()
        self._prepare(store)
        finish(HookedStore(store, before=lambda _, name: calls.append(name)))
        return len(calls)

    def _prepare(self, store: ObjectStore) -> None:
        """A segment of two commits, tidied, and three commits that are to be merged with it."""
        write(store, "a")
        write(store, "b")
        finish(store)
        for commit in "cde":
            write(store, commit)

    def _left(self, store: ObjectStore) -> int:
        return len(keys_of(store, "results/"))


class TestAtOnce:
    @pytest.mark.parametrize("settled_before", [-math.inf, EVER])
    @pytest.mark.parametrize("is_compacted", [False, True])
    def test_a_reader_that_is_overtaken_at_any_call_sees_every_row_once(
        self, is_compacted: bool, settled_before: float
    ) -> None:
        for number in range(8):
            store = MemoryStore()
            for commit in "abc":
                write(store, commit)
            if is_compacted:
                finish(store)
            write(store, "d")

            def overtake(call: int, _: str, number: int = number, store: MemoryStore = store) -> None:
                if call == number:
                    write(store, "new")
                    compact(store, SWEEP)
                    tidy(store, SWEEP, settled_before=settled_before)

            seen = rows_of(HookedStore(store, before=overtake))
            assert [row for row in seen if row[0] != "new"] == once(*"abcd"), f"overtaken at call {number}"
            assert seen.count(("new", "0")) <= 1

    def test_a_reader_that_is_overtaken_again_and_again_still_ends(self, memory: MemoryStore) -> None:
        write(memory, "a")
        write(memory, "b")
        overtaken: list[int] = []

        def overtake(call: int, _: str) -> None:
            if len(overtaken) < 8:
                overtaken.append(call)
                write(memory, f"new{len(overtaken)}")
                finish(memory)

        seen = rows_of(HookedStore(memory, before=overtake))
        assert len(set(seen)) == len(seen)
        assert set(once("a", "b")) <= set(seen)

    def test_readers_and_writers_between_any_two_calls_of_a_compaction(self, memory: MemoryStore) -> None:
        written = ["a", "b", "c"]
        for commit in written:
            write(memory, commit)

        one_at_a_time = threading.Lock()  # a compaction reads in many threads

        def look(call: int, _: str) -> None:
            with one_at_a_time:
                assert rows_of(memory) == once(*written)
                assert write(memory, f"new{call}")
                written.append(f"new{call}")

        compact(HookedStore(memory, before=look), SWEEP)
        tidy(HookedStore(memory, before=lambda call, name: look(100 + call, name)), SWEEP, settled_before=EVER)
        assert rows_of(memory) == once(*written)
        assert len(written) > 15

    @pytest.mark.parametrize("is_tidied", [False, True])
    def test_of_two_compactions_one_wins_and_the_other_gives_up(self, is_tidied: bool) -> None:
        outcomes = []
        for number in range(12):
            store = MemoryStore()
            for commit in "abcd":
                write(store, commit)

            def compete(call: int, _: str, number: int = number, store: MemoryStore = store) -> None:
                if call == number:
                    finish(store) if is_tidied else compact(store, SWEEP)

            outcomes.append(compact(HookedStore(store, before=compete), SWEEP).outcome)
            assert rows_of(store) == once(*"abcd")
            assert newest_generation(store, SWEEP).number == 1
            finish(store)
            assert rows_of(store) == once(*"abcd")
        assert set(outcomes) == {"compacted", "another process was faster", "nothing new"}

    def test_who_comes_too_late_leaves_segments_that_are_tidied(self, memory: MemoryStore) -> None:
        for commit in "abcd":
            write(memory, commit)

        def compete(_: int, name: str) -> None:
            if name == "put_if_absent":
                compact(memory, SWEEP)

        assert compact(HookedStore(memory, before=compete), SWEEP).outcome == "another process was faster"
        segments = [key for key in keys_of(memory, "compacted/") if key.endswith(".rows.parquet")]
        assert len(segments) == 2
        tidy(memory, SWEEP, settled_before=EVER)
        assert len([key for key in keys_of(memory, "compacted/") if key.endswith(".rows.parquet")]) == 1
        assert rows_of(memory) == once(*"abcd")

    def test_a_segment_that_may_still_be_named_is_not_tidied(self, memory: MemoryStore) -> None:
        for commit in "abcd":
            write(memory, commit)
        compact(memory, SWEEP)
        write(memory, "e")
        write(memory, "f")

        def overtake(_: int, name: str) -> None:
            if name == "put_if_absent":  # the segment of generation 2 is there, the generation is not
                tidy(memory, SWEEP, settled_before=EVER)

        assert compact(HookedStore(memory, before=overtake), SWEEP).outcome == "compacted"
        assert rows_of(memory) == once(*"abcdef")

    def test_a_lost_answer_to_the_switch_is_no_defeat(self, memory: MemoryStore) -> None:
        class Forgetful(HookedStore):
            def put_if_absent(self, key: str, data: bytes) -> bool:
                memory.put_if_absent(key, data)
                return memory.put_if_absent(key, data)  # the retry finds the key taken

        write(memory, "a")
        write(memory, "b")
        assert compact(Forgetful(memory), SWEEP).outcome == "compacted"

    def test_two_sweeps_and_a_reader_at_once(self, local_uri: str, race_processes: Callable[..., list[str]]) -> None:
        printed = race_processes(_TWO_SWEEPS_AND_A_READER, local_uri, num_processes=4)
        assert printed == ["wrote 40", "wrote 40", "compacted", "read"]
        table = ResultsTable(open_store(local_uri)).read("failures").to_pandas()
        assert table.groupby("sweep_id")["trial_id"].nunique().to_dict() == {"sweep0": 40, "sweep1": 40}
        assert len(table) == 80


_TWO_SWEEPS_AND_A_READER = """
import time
from collections import Counter
from datetime import UTC, datetime
from storage.compaction import compact, tidy
from storage.generations import partitions
from storage.object_store import open_store
from storage.results_table import ResultsTable
store, number = open_store(sys.argv[1]), int(sys.argv[2])
results, sweep = ResultsTable(store), f"sweep{number}"
def seen():
    table = results.read("failures", columns=["sweep_id", "trial_id"])
    return Counter(zip(*(column.to_pylist() for column in table.columns)))
wait_for_start()
if number < 2:
    for c in range(40):
        row = dict(sweep_id=sweep, trial_id=f"t{c}", failure_id="", reason="", detail="", failed_at=datetime.now(UTC))
        assert results.commit("failures", sweep_id=sweep, commit=f"t{c}", rows=[row])
    print("wrote 40")
while number >= 2 and sum(seen().values()) < 80:
    before = seen()
    if number == 2:
        for partition in partitions(store, "failures"):
            compact(store, partition)
            tidy(store, partition, settled_before=time.time() + 60)
    after = seen()
    assert before.keys() <= after.keys() and set(after.values()) <= {1}, (before, after)
if number >= 2:
    print("compacted" if number == 2 else "read")
"""


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
