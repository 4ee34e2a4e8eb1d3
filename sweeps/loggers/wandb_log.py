"""Weights & Biases: a run for every seed and fold, grouped by the sweep. The one file that imports wandb.

WANDB_MODE, WANDB_API_KEY, WANDB_BASE_URL and WANDB_DIR work as W&B describes them. Where its server cannot be reached,
or no key is there, the run is kept on the disk, and `wandb sync` sends it later.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import wandb

from sweeps.loggers.run_logger import (
    EndedSeed,
    RunInfo,
    RunState,
    curve_id,
    curve_state,
    epoch_scalars,
    final_scalars,
    safe,
)
from training.progress import EpochMetrics

_INIT_TIMEOUT_S = 20  # W&B's own is 90 s, for which a trial would hold its GPU idle


class WandbLog:
    """A `RunLogger`; a run of W&B is open for every seed and fold from its first epoch to its last.

    A run that is taken up goes on under the same id. W&B drops steps that are not above its last one, which makes an
    epoch told twice stand there once; of a run kept on the disk it does not know the last step, so that here an epoch
    that an earlier process has told may be in two folders, which the server merges.
    """

    def __init__(self, *, project: str, folder: Path, say: Callable[[str], None]) -> None:
        """Args: folder: of what W&B keeps on the disk; say: hears that the server cannot be reached."""
        self._project, self._folder, self._say = project, folder, say
        self._about: RunInfo | None = None
        self._is_offline = False
        self._curves: dict[str, _Curve] = {}

    def start(self, run: RunInfo) -> None:
        self._about = run

    def epoch(self, *, seed: int, fold: int | None, metrics: EpochMetrics) -> None:
        self._curve(curve_id(seed, fold)).epoch(metrics)

    def seed(self, *, fold: int | None, result: EndedSeed) -> None:
        self._curve(curve_id(result.seed, fold)).seed(result)

    def end(self, state: RunState) -> None:
        curves, self._curves = self._curves, {}
        for curve in curves.values():
            curve.close(state)

    def _curve(self, name: str) -> "_Curve":
        if name not in self._curves:
            self._curves[name] = _Curve(self._begin(name))
        return self._curves[name]

    def _begin(self, name: str) -> Any:
        assert self._about is not None, "start comes first"
        run_id = safe(f"{self._about.run_id}-{name}")
        if self._is_offline:
            return self._init(name, run_id, mode="offline")
        try:
            return self._init(name, run_id, mode=None)
        except Exception as e:  # W&B raises errors of many kinds; whatever it is, the disk is there
            self._is_offline = True
            reason = " ".join(str(e).split()) or type(e).__name__
            self._say(f"wandb: {reason}; the run is kept in {self._folder}, and `wandb sync` sends it later")
        # W&B's process still holds the id, and would refuse it (wandb 0.31). A new process would free it, but ending
        # this one ends every run that it has open.
        if any(curve.is_open for curve in self._curves.values()):
            run_id += "-offline"
        else:
            wandb.teardown()
        return self._init(name, run_id, mode="offline")

    def _init(self, name: str, run_id: str, *, mode: str | None) -> Any:
        assert self._about is not None, "start comes first"
        self._folder.mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project=self._project,
            group=self._about.group,
            name=f"{self._about.name} {name}",
            id=run_id,
            config=dict(self._about.configuration),
            dir=str(self._folder),
            mode=mode,
            resume="allow",
            reinit="create_new",  # folds train side by side; anything else would end the others' runs (wandb 0.19.10)
            settings=wandb.Settings(init_timeout=_INIT_TIMEOUT_S, console="off", silent=True),
        )


class _Curve:
    """The run of W&B of one seed and fold. Once it is closed, what is told again goes nowhere."""

    def __init__(self, run: Any) -> None:
        self._run, self.is_open = run, True
        self._epochs: set[int] = set()
        self._num_epochs: int | None = None  # known once the seed is trained to its end

    def epoch(self, metrics: EpochMetrics) -> None:
        if self.is_open and metrics.epoch not in self._epochs:
            self._epochs.add(metrics.epoch)
            self._run.log({**epoch_scalars(metrics), "epoch": metrics.epoch}, step=metrics.epoch)
        self._close_if_whole()

    def seed(self, result: EndedSeed) -> None:
        if self.is_open:
            self._num_epochs = result.epochs_trained
            self._run.summary.update(final_scalars(result))
        self._close_if_whole()

    def close(self, state: RunState) -> None:
        """Args: state: of the whole run."""
        if self.is_open:
            self.is_open = False
            ended = curve_state(state, is_trained=self._num_epochs is not None)
            self._run.summary.update({"state": ended})
            self._run.finish(exit_code=int(ended == "failed"))

    def _close_if_whole(self) -> None:
        if self._num_epochs in self._epochs:
            self.close("finished")
