"""Work on clips in a child process: a decoder that crashes or hangs takes its own clip along, and nothing else.

Enters: requests. Leaves: what came of each, as plain data. The child (`server.py`) does all the work and notes in
shared memory which clip it has in hand, so that healthy files pay next to nothing and no sample is copied. When the
child dies, the parent starts another one; a clip that kills two of them is lost for the reason that it is then told.

The parent hands requests on unread and imports nothing that computes: it lives in Ray's worker processes, too, and what
they import is what a run waits for at its start.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from collections import Counter
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from pipelines.isolation.clip_in_hand import ClipInHand
from storage import traffic

# A decoder's fault comes again; one that does not come again was something else's (a cosmic ray, an unplugged disk).
_FAULTS_OF_A_CLIP = 2
# Deaths that are nobody's fault in particular: SIGKILL from the out-of-memory killer or a person, or between clips.
_DEATHS_OF_A_WORKER = 5
# glibc gives memory beyond these thresholds back to the system and gets it anew for the next clip, page fault by page
# fault. A child does the same to every clip and keeps up to 64 MiB: 7 % faster on 5-s WAV files (2026-11-21).
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
_CHILD = "import sys; from {} import serve; serve(*map(int, sys.argv[1:]))"
_LOOK_EVERY_S = 1.0  # at what the child has in hand


class IsolatedProcess:
    """Has requests answered by a child process, which it replaces when it dies. Used by one thread at a time.

    Args:
        make_worker: pickle of a function without arguments that makes what answers; only the child unpickles it.
        clip_time_limit_s: how long one clip may be in hand. Reading and writing have the stores' own time limits and do
            not count.
        remedy: what to do when children die and no clip is to blame.
        server: the module whose `serve` is the child's life.
    """

    def __init__(
        self, make_worker: bytes, *, clip_time_limit_s: float, remedy: str, server: str = "pipelines.isolation.server"
    ) -> None:
        self._make_worker, self._clip_time_limit_s = make_worker, clip_time_limit_s
        self._remedy, self._server = remedy, server
        self._child: _Child | None = None

    def outcome(self, request: Any) -> dict[str, Any]:
        """What comes of a request; the same request is made again when a child dies over it.

        Args:
            request: anything that pickles.

        Returns:
            The answer, or an error as data (`outcomes.py`).
        """
        lost: dict[str, tuple[str, str]] = {}
        faults: Counter[str] = Counter()
        num_deaths = 0
        while True:
            end = self._attempt(request, lost)
            if isinstance(end, dict):
                return end
            if end.clip_id is not None and end.by_the_clip:
                faults[end.clip_id] += 1
                if faults[end.clip_id] == _FAULTS_OF_A_CLIP:
                    lost[end.clip_id] = (end.reason, end.detail)
                continue
            num_deaths += 1
            if num_deaths == _DEATHS_OF_A_WORKER:
                at = f"at clip {end.clip_id!r}" if end.clip_id else "between two clips"
                return {
                    "storage_error": f"a worker process died {num_deaths} times, last {at} ({end.detail}): out of "
                    f"memory? {self._remedy}"
                }

    def start(self) -> None:
        """Starts the child, so that it imports and plans while the caller does something else."""
        self._child = self._child or _Child(self._make_worker, self._server)

    @property
    def peak_bytes(self) -> int | None:
        """The most memory that the child at hand has taken; None without one, and elsewhere than on Linux."""
        return self._child.peak_bytes if self._child else None

    def close(self) -> None:
        """Ends the child; the next call would start another one."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _attempt(self, request: Any, lost: dict[str, tuple[str, str]]) -> "dict[str, Any] | _Death":
        self.start()
        assert self._child is not None
        end = self._child.answer(request, lost, self._clip_time_limit_s)
        if isinstance(end, _Death):
            self.close()
        return end


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Death:
    """How a child ended before its answer came. `by_the_clip`: whether the clip in hand is to blame."""

    clip_id: str | None
    reason: str
    detail: str
    by_the_clip: bool


class _Child:
    """One child process, its pipe, and a lifeline whose end it reads: it dies with the parent, however that dies."""

    def __init__(self, make_worker: bytes, server: str) -> None:
        ours, theirs = Pipe()
        read_end, self._lifeline = os.pipe()
        self._hand = ClipInHand()
        environment = {**_MALLOC, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            # -P: nothing is imported from the folder that one happens to be in, which may be somebody else's data set.
            [sys.executable, "-P", "-c", _CHILD.format(server), *map(str, (theirs.fileno(), read_end, self._hand.fd))],
            pass_fds=(theirs.fileno(), read_end, self._hand.fd),
            env=environment,
        )
        theirs.close()
        os.close(read_end)
        self._pipe = ours
        with contextlib.suppress(OSError):  # a child that is dead already is noticed by answer
            self._pipe.send_bytes(make_worker)

    def answer(self, request: Any, lost: dict[str, tuple[str, str]], limit_s: float) -> dict[str, Any] | _Death:
        try:
            self._pipe.send((request, lost))
            while not self._pipe.poll(min(_LOOK_EVERY_S, limit_s)):
                in_hand = self._hand.clip()  # reading and writing wait for servers, which have limits of their own
                if in_hand and in_hand[1] > limit_s:
                    detail = f"not decoded within pipeline.clip_time_limit_s = {limit_s:g} s"
                    return _Death(clip_id=in_hand[0], reason="timed_out", detail=detail, by_the_clip=True)
            answer: dict[str, Any]
            answer, moved = self._pipe.recv()
            for direction, num_bytes in moved.items():
                traffic.tell(direction, num_bytes)
            return answer
        except (EOFError, OSError):
            return self._how_it_died()

    @property
    def peak_bytes(self) -> int | None:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return None

    def end(self) -> None:
        self._pipe.close()
        os.close(self._lifeline)
        self._process.kill()
        self._process.wait()
        self._hand.close()

    def _how_it_died(self) -> _Death:
        code = self._process.wait()
        in_hand = self._hand.clip()
        end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        outside = code in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
        detail = f"the decoder's process {end}"
        clip_id = in_hand[0] if in_hand else None
        return _Death(clip_id=clip_id, reason="decoder_crashed", detail=detail, by_the_clip=not outside)
