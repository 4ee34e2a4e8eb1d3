"""Jobs as processes that run to their end or are killed on the way; tests import this by the name `killed_jobs`."""

import os
import signal
import subprocess
import time
from pathlib import Path

from storage.object_store import open_store

# A sweep of a minute, one trial at a time, in which rungs decide.
SMALL_SWEEP = (
    "sweep.architectures=[cnn]",
    "sweep.num_trials=4",
    "sweep.seeds=[1,2]",
    "sweep.epochs=4",
    "sweep.grace_epochs=1",
    "sweep.trial.model.width=8",
    "sweep.max_concurrent_trials=1",
    "pipeline.clips_per_shard=10",
    "cluster.num_cpus=2",
)


def run_to_the_end(words: list[str], folder: Path) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kill_after_progress(words: list[str], uri: str, folder: Path, *, num_rows: int, delay_s: float) -> None:
    """Starts the job in a process group of its own; kills the group a moment after `num_rows` epochs are committed."""
    process = subprocess.Popen(
        words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    store = open_store(uri)
    while sum(1 for _ in store.list("results/epochs/")) < num_rows:
        assert process.poll() is None, "the job ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(delay_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
