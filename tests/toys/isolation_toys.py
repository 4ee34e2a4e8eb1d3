"""What a child process is asked to do in tests; child processes import it by this name."""

import os
import pickle
import signal
import time
from typing import Any

from pipelines.decoding.decode import Waveform
from pipelines.isolation.server import Lost, OnClip
from storage import traffic
from storage.errors import InvalidInput, StorageError


class Obedient:
    """Does to a clip what the request says, and answers with its process and the clips that are lost."""

    def __call__(self, request: dict[str, str], lost: Lost, on_clip: OnClip) -> dict[str, Any]:
        for clip_id, order in request.items():
            if clip_id not in lost:
                on_clip(clip_id)
                _obey(order)
                on_clip(None)
        return {"pid": os.getpid(), "lost": dict(lost)}


def _obey(order: str) -> None:
    if order == "traffic":
        traffic.tell("put", 5)
        traffic.tell("get", 3)
    if order == "storage":
        raise StorageError("the disk is gone")
    if order == "input":
        raise InvalidInput("a.field", given=1, allowed="2", remedy="Say 2.")
    if order == "bug":
        raise ZeroDivisionError("by zero")
    if order == "hang":
        time.sleep(3600)
    if order.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[order])
        time.sleep(60)


class Unmade:
    """Its making fails."""

    def __init__(self) -> None:
        raise StorageError("no bucket")


class Unloadable:
    """Says so if it is unpickled in a process that should only hand it on."""

    def __reduce__(self) -> Any:
        return (_only_in, (os.getpid(),))


def _only_in(pid: int) -> type[Obedient]:
    assert pid != os.getpid()
    return Obedient


def dumped(worker: Any) -> bytes:
    return pickle.dumps(worker)


def num_samples(waveform: Waveform) -> int:
    return len(waveform.samples)


def process_of(waveform: Waveform) -> int:
    return os.getpid()


def stumble(waveform: Waveform) -> int:
    raise LookupError("over sound")
