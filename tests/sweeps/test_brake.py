"""A search that is told to end in the middle of an epoch: its trials put down checkpoints, in bounded time."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweep_toys import SWEEP_ROW, make_plan

from storage.checkpoints import Checkpoints
from storage.feature_store import Features
from storage.object_store import open_store
from storage.results_table import ResultsTable
from storage.split import Part, Split
from sweeps import run_sweep
from sweeps.brake import Brake
from sweeps.trial_actor import checkpoint_prefix
from sweeps.watch import SweepProgress
from training import TrialData, load_trial_data

pytestmark = pytest.mark.usefixtures("ray_local")

_NUM_CLIPS = 1500  # of the training part: at one clip a step an epoch takes some seconds


class TestTheDriverWaits:
    @pytest.fixture
    def brake(self) -> Iterator[Brake]:
        brake = Brake()
        yield brake
        brake.close()

    def test_for_those_that_train_and_no_longer_than_it_has_patience(self, brake: Brake) -> None:
        trial, other = brake.of("a"), brake.of("b")
        assert not trial.is_pulled()
        with other.training(), other.at_rest():
            assert brake.pull(patience_s=60)
        with trial.training():
            assert not brake.pull(patience_s=0.5)
        assert brake.pull(patience_s=60)

    def test_and_trials_hear_of_it_unless_the_actor_is_gone(self, brake: Brake) -> None:
        brake.pull(patience_s=60)
        trial, late = brake.of("a"), brake.of("b")
        assert any(_asked_again_and_again(trial.is_pulled, times=400))
        assert trial.is_pulled()
        brake.close()
        while brake.pull(patience_s=60):  # an actor dies some time after it was ended
            threading.Event().wait(0.05)
        assert not any(_asked_again_and_again(late.is_pulled, times=15))


def _asked_again_and_again(ask: Callable[[], bool], *, times: int) -> Iterator[bool]:
    for _ in range(times):
        yield ask()
        threading.Event().wait(0.05)


def test_a_search_that_gets_sigterm_in_the_middle_of_an_epoch_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["sweeps.run_sweep"], "_PUT_DOWN_S", 100.0)  # `sweeps.run_sweep` is the function
    store, one_a_step = open_store(str(tmp_path)), {"batch_size": 1, "model.width": 4}
    plan = make_plan(num_trials=1, seeds=(1,), epochs=2, trial=one_a_step)
    asked = list[threading.Timer]()

    def on_progress(now: SweepProgress) -> None:
        if not asked:  # the driver has heard of the first epoch
            asked.append(threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)))
            asked[0].start()

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(SystemExit):
            run_sweep(plan, _long_data(), store, sweep_row=SWEEP_ROW, on_progress=on_progress)
    finally:
        signal.signal(signal.SIGTERM, before)
    checkpoints = Checkpoints(store, checkpoint_prefix(plan.sweep_id, plan.trial_config("cnn", {}).trial_id))
    saved = checkpoints.newest("seed=1")
    assert saved is not None
    assert _NUM_CLIPS < saved.step < 2 * _NUM_CLIPS
    results = ResultsTable(store)
    assert results.read("epochs").num_rows == 1
    assert results.read("failures").num_rows == results.read("trials").num_rows == 0


def _long_data() -> TrialData:
    rng, num_clips = np.random.default_rng(11), _NUM_CLIPS + 8
    clip_ids = tuple(f"clip{row:04d}" for row in range(num_clips))
    part: dict[str, Part] = dict.fromkeys(clip_ids, "train")
    part.update(zip(clip_ids[:8], ("validation", "validation", "test", "test") * 2, strict=True))
    features = Features(
        log_mel=rng.normal(-60, 12, (num_clips, 16, 20)).astype(np.float16),
        clip_ids=clip_ids,
        groups=clip_ids,
        variants=("original",) * num_clips,
        windows=(0,) * num_clips,
        labels=tuple((("alarm", "bell")[row % 2],) for row in range(num_clips)),
    )
    groups = dict(zip(clip_ids, clip_ids, strict=True))
    return load_trial_data(features, Split(dataset="toy-0", policy="long", parts=part, groups=groups))
