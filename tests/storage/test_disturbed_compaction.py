"""Compaction: readers see every row once at every moment, whatever dies, whoever else is at work."""

import math
import threading
from collections.abc import Callable

import pytest
from compaction_toys import EVER, SWEEP, finish, once, rows_of, seen_plainly, write
from store_toys import HookedStore, Killed, MemoryStore, keys_of, kill_at

from storage import compaction
from storage.compaction import Tidied, compact, tidy
from storage.generations import newest_generation
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable


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


class TestGraces:
    """Tidied with one grace and then with a longer one, by which a generation counts whose segments may be gone."""

    @pytest.fixture(params=["merged segments", "large segments"])
    def between(self, memory: MemoryStore, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
        """Two generations; the moment between them."""
        if request.param == "large segments":
            monkeypatch.setattr(compaction, "SEGMENT_BYTES", 1)
        for commits in ("ab", "cd"):
            for commit in commits:
                write(memory, commit)
            compact(memory, SWEEP)
        (first, _) = [info for info in memory.list("compacted/") if info.key.endswith(".json")]
        return first.modified_at + 1

    def test_a_longer_one_after_a_shorter_one_changes_nothing(self, memory: MemoryStore, between: float) -> None:
        tidy(memory, SWEEP, settled_before=EVER)
        before = dict(memory.objects)
        assert tidy(memory, SWEEP, settled_before=between) == Tidied()
        assert memory.objects == before
        assert rows_of(memory) == seen_plainly(memory) == once(*"abcd")

    def test_a_shorter_one_after_a_longer_one_goes_on(self, memory: MemoryStore, between: float) -> None:
        tidy(memory, SWEEP, settled_before=between)
        assert rows_of(memory) == seen_plainly(memory) == once(*"abcd")
        tidy(memory, SWEEP, settled_before=EVER)
        assert rows_of(memory) == seen_plainly(memory) == once(*"abcd")
        assert len([key for key in memory.objects if "tidied-" in key]) == 1

    @pytest.mark.parametrize("is_longer_overtaken", [True, False])
    def test_either_may_overtake_the_other_at_any_call(
        self, memory: MemoryStore, between: float, is_longer_overtaken: bool
    ) -> None:
        graces = (between, EVER) if is_longer_overtaken else (EVER, between)
        prepared, num_calls = dict(memory.objects), 0
        for number in range(20):
            memory.objects = dict(prepared)

            def overtake(call: int, _: str, number: int = number) -> None:
                nonlocal num_calls
                num_calls = max(num_calls, call)
                if call == number:
                    tidy(memory, SWEEP, settled_before=graces[1])

            tidy(HookedStore(memory, before=overtake), SWEEP, settled_before=graces[0])
            assert rows_of(memory) == once(*"abcd"), f"overtaken at call {number}"
            assert seen_plainly(memory) == once(*"abcd"), f"overtaken at call {number}"
        assert num_calls < 19


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
