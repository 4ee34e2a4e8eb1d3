"""The life of the process that computes shards: the child of `isolated_worker.py`, and the only one who calls this."""

import contextlib
import dataclasses
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection

from pipelines.decoding.rules import Undecodable
from pipelines.shards.request import ShardRequest
from pipelines.shards.worker import ShardWorker
from storage.errors import InvalidInput, StorageError


def serve(pipe_fd: int, lifeline_fd: int) -> None:
    """The child's whole life: makes a worker, then answers requests until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_die_with_parent, args=(lifeline_fd,), daemon=True).start()
    pipe = Connection(pipe_fd)
    with contextlib.suppress(EOFError, OSError):
        make_worker: Callable[[], ShardWorker] = pickle.loads(pipe.recv_bytes())
        worker: ShardWorker | None = None
        with contextlib.suppress(Exception):  # it is raised, and told, with the first request
            worker = make_worker()
        while True:
            request, lost = pipe.recv()
            try:
                worker = worker or make_worker()
                refused = {clip_id: Undecodable(*why) for clip_id, why in lost.items()}
                shard = worker.compute(ShardRequest.from_json(request), refused=refused, on_clip=pipe.send)
                pipe.send(dataclasses.asdict(shard))
            except StorageError as e:
                pipe.send({"storage_error": str(e)})
            except InvalidInput as e:
                fields = {"field": e.field, "given": str(e.given), "allowed": e.allowed, "remedy": e.remedy}
                pipe.send({"invalid_input": fields})
            except Exception:
                pipe.send({"bug": traceback.format_exc()})


def _die_with_parent(lifeline_fd: int) -> None:
    # Not PR_SET_PDEATHSIG, which fires when the parent's *thread* ends, and Ray runs actors' methods in threads.
    os.read(lifeline_fd, 1)
    os._exit(0)
