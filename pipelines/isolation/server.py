"""The life of a child of `isolated_process.py`: it answers requests and says which clip it has in hand."""

import contextlib
import os
import pickle
import signal
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from pipelines.isolation.clip_in_hand import ClipInHand
from pipelines.isolation.outcomes import error_as_data
from storage import traffic

OnClip = Callable[[str | None], None]
Lost = Mapping[str, tuple[str, str]]

# (request, lost clips with reason and detail, on_clip) → an answer as plain data. It calls on_clip with a clip's id
# before it does what may crash or hang, and with None afterwards, and tries no clip that is lost.
Answer = Callable[[Any, Lost, OnClip], dict[str, Any]]


def serve(
    pipe_fd: int, lifeline_fd: int, hand_fd: int, *, answer_of: Callable[[Any], Answer] = lambda worker: worker
) -> None:
    """The child's whole life: makes a worker, then answers requests until the parent is gone.

    Every answer goes with what went to and from S3 for it, as nobody asks the child.

    Args:
        answer_of: makes of the worker what answers; by default the worker does so itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_die_with_parent, args=(lifeline_fd,), daemon=True).start()
    pipe, hand, tally = Connection(pipe_fd), ClipInHand(hand_fd), traffic.Tally()
    traffic.listen(tally)

    def on_clip(clip_id: str | None) -> None:
        if clip_id is None:
            hand.end()
        else:
            hand.begin(clip_id)

    with contextlib.suppress(EOFError, OSError):
        make_worker: Callable[[], Any] = pickle.loads(pipe.recv_bytes())
        answer: Answer | None = None
        with contextlib.suppress(Exception):  # it is raised, and told, with the first request
            answer = answer_of(make_worker())
        while True:
            request, lost = pipe.recv()
            try:
                answer = answer or answer_of(make_worker())
                answered = answer(request, lost, on_clip)
            except Exception as e:
                answered = error_as_data(e)
            finally:
                hand.end()
            pipe.send((answered, tally.take()))


def _die_with_parent(lifeline_fd: int) -> None:
    # Not PR_SET_PDEATHSIG, which fires when the parent's *thread* ends, and Ray runs actors' methods in threads.
    os.read(lifeline_fd, 1)
    os._exit(0)
