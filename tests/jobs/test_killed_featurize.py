"""Featurizing killed ten times, now a worker, now the whole job: the store ends byte for byte as one never killed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipelines.sources.synthetic import write_synthetic_dataset
from storage.object_store import ObjectStore, open_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

_ROOT = Path(__file__).parents[2]
_NUM_KILLS = 10
_NUM_SHARDS = 100


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_dataset(tmp_path_factory.mktemp("recordings"))


def command(recordings: Path, folder: Path) -> list[str]:
    return [
        sys.executable,
        str(_ROOT / "jobs" / "featurize.py"),
        f"data.root={recordings}",
        f"storage.uri={folder / 'store'}",
        "pipeline.backend=cpu",
        "pipeline.clips_per_shard=4",
        "features.sample_rate_hz=44100",  # dear frames, so that there is time to be killed in
        "features.n_fft=4096",
        "features.hop_samples=128",
        "features.num_mels=128",
        "cluster.num_cpus=2",
    ]


def test_a_store_made_by_ten_killed_runs_is_byte_for_byte_that_of_an_undisturbed_run(
    recordings: Path, tmp_path: Path
) -> None:
    calm = tmp_path / "calm"
    calm.mkdir()
    subprocess.run(command(recordings, calm), cwd=calm, check=True, capture_output=True, timeout=400)
    expected = _objects(open_store(str(calm / "store")))
    assert sum("part-" in key for key in expected) == _NUM_SHARDS

    chance = random.Random(20_261_121)
    job = _Job(command(recordings, tmp_path), tmp_path)
    try:
        kinds = chance.sample([_kill_worker, _kill_actor, _kill_job] * 4, _NUM_KILLS)
        for number, kill in enumerate(kinds):
            job.wait_for_parts(number * (_NUM_SHARDS - 10) // _NUM_KILLS)
            time.sleep(chance.uniform(0, 0.3))
            killed = kill(job, chance)
            print(f"after {job.num_parts()} parts: {killed}")
        job.start_if_ended()
        assert job.process.wait(timeout=400) == 0
    finally:
        job.kill_group()
    assert _objects(open_store(str(tmp_path / "store"))) == expected


class _Job:
    """The job's current process, started again when it has been killed."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self._words, self._folder = words, folder
        self._store = open_store(str(folder / "store"))
        self.process = self._start()

    def wait_for_parts(self, num_parts: int) -> None:
        deadline = time.monotonic() + 300
        while self.num_parts() < num_parts or not self.workers("shards.server"):
            self.start_if_ended()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def num_parts(self) -> int:
        return sum("/part-" in info.key for info in self._store.list("features/"))

    def workers(self, mark: str) -> list[psutil.Process]:
        """Descendants whose command line holds `mark`."""
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [child for child in family if mark in _command_line(child)]

    def start_if_ended(self) -> None:
        if self.process.poll() is not None:
            assert self.process.returncode in (0, -signal.SIGKILL), "the job failed by itself"
            self.process = self._start()

    def kill_group(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._words, cwd=self._folder, stdout=subprocess.DEVNULL, start_new_session=True)


Kill = Callable[[_Job, random.Random], str]


def _kill_worker(job: _Job, chance: random.Random) -> str:
    return _kill_one(job.workers("shards.server"), chance, "a decoding process")


def _kill_actor(job: _Job, chance: random.Random) -> str:
    return _kill_one(job.workers("ray::MapWorker"), chance, "an actor")


def _kill_job(job: _Job, chance: random.Random) -> str:
    job.kill_group()
    return "the job's process group"


def _kill_one(processes: list[psutil.Process], chance: random.Random, name: str) -> str:
    if not processes:
        return f"{name}: none was there"
    try:
        chance.choice(processes).kill()
    except psutil.NoSuchProcess:
        return f"{name}: gone already"
    return name


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _objects(store: ObjectStore) -> dict[str, bytes]:
    return {info.key: store.get(info.key) for info in store.list("features/")}
