"""A process of its own for what may crash or hang: only the clip in hand is lost, and errors arrive as themselves."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from isolation_toys import Obedient, Unloadable, Unmade, dumped

from pipelines.isolation.isolated_process import IsolatedProcess
from pipelines.isolation.outcomes import raise_error
from storage import traffic
from storage.errors import InvalidInput, StorageError


def _process(worker: Any = Obedient, limit_s: float = 60.0) -> IsolatedProcess:
    return IsolatedProcess(dumped(worker), clip_time_limit_s=limit_s, remedy="Buy more.")


@pytest.fixture
def process() -> Iterator[IsolatedProcess]:
    process = _process()
    yield process
    process.close()


def test_one_child_answers_all_requests(process: IsolatedProcess) -> None:
    first, second = (process.outcome({"a": "nothing"}) for _ in range(2))
    assert first == second
    assert first["lost"] == {}


def test_clips_that_kill_their_process_twice_are_lost_and_the_others_are_not(process: IsolatedProcess) -> None:
    answer = process.outcome({"a": "nothing", "b": "SIGSEGV", "c": "SIGABRT", "d": "nothing"})
    words = {
        name: ("decoder_crashed", f"the decoder's process was killed by {signal}")
        for name, signal in (("b", "SIGSEGV"), ("c", "SIGABRT"))
    }
    assert answer["lost"] == words
    assert process.outcome({"a": "nothing"}) == {"pid": answer["pid"], "lost": {}}  # of another request, none is


def test_what_a_child_moves_to_and_from_s3_is_told_by_its_parent(
    process: IsolatedProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int]] = []
    monkeypatch.setattr(traffic, "_listeners", [lambda *moved: told.append(moved)])
    process.outcome({"a": "traffic", "b": "traffic"})
    assert told == [("put", 10), ("get", 6)]
    process.outcome({"a": "nothing"})
    assert "storage_error" in process.outcome({"a": "traffic", "b": "storage"})
    assert told == [("put", 10), ("get", 6), ("put", 5), ("get", 3)]


def test_a_clip_that_hangs_is_lost() -> None:
    process = _process(limit_s=2.0)
    assert process.outcome({"a": "hang"})["lost"]["a"][0] == "timed_out"
    process.close()


def test_deaths_from_outside_are_an_error_with_the_remedy(process: IsolatedProcess) -> None:
    with pytest.raises(StorageError, match=r"died 5 times, last at clip 'a' \(.*SIGKILL\): out of memory\? Buy more\."):
        raise_error(process.outcome({"a": "SIGKILL"}))


@pytest.mark.parametrize(
    ("order", "kind", "words"),
    [
        ("storage", StorageError, "^the disk is gone$"),
        ("input", InvalidInput, r"a\.field: got '1'; allowed: 2\. Say 2\."),
        ("bug", RuntimeError, "bug of melsweep:\n(.*\n)*ZeroDivisionError: by zero"),
    ],
)
def test_an_error_arrives_as_itself_and_the_child_goes_on(
    process: IsolatedProcess, order: str, kind: type[Exception], words: str
) -> None:
    pid = process.outcome({})["pid"]
    with pytest.raises(kind, match=words):
        raise_error(process.outcome({"a": order}))
    assert process.outcome({})["pid"] == pid


def test_a_worker_that_cannot_be_made_is_told_with_every_request() -> None:
    process = _process(Unmade)
    for _ in range(2):
        with pytest.raises(StorageError, match="no bucket"):
            raise_error(process.outcome({}))
    process.close()


def test_only_the_child_unpickles_the_worker() -> None:
    process = _process(Unloadable())
    assert process.outcome({})["lost"] == {}
    process.close()


def test_an_answer_is_no_error() -> None:
    raise_error({"pid": 1})


@pytest.mark.parametrize("module", ["pipelines.isolation.isolated_process", "pipelines.shards.actor"])
def test_the_parent_imports_nothing_that_computes(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    assert module in loaded
    assert {"numpy", "scipy", "pyarrow", "pandas", "soundfile", "soxr", "ray"}.isdisjoint(loaded)
