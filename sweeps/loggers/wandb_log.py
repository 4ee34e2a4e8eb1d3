"""Weights & Biases: a run for every seed and fold, grouped by the sweep. The one file that imports wandb.

WANDB_MODE, WANDB_API_KEY, WANDB_BASE_URL and WANDB_DIR work as W&B describes them. Where its server cannot be reached,
or no key is there, the run is kept on the disk, and `wandb sync` sends it later.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import wandb

from sweeps.loggers.run_logger import RunInfo, RunState, curve_id, epoch_scalars, final_scalars, safe
from training import SeedResult
from training.progress import EpochMetrics

_INIT_TIMEOUT_S = 20  # W&B's own is 90 s, for which a trial would hold its GPU idle


class WandbLog:
    """A `RunLogger`; one run of W&B is open at a time.

    A run that is taken up goes on under the same id. W&B drops steps that are not above its last one, which makes an
    epoch told twice stand there once; of a run kept on the disk it does not know the last step, so that here an epoch
    that an earlier process has told may be in two folders, which the server merges.
    """

    def __init__(self, *, project: str, folder: Path, say: Callable[[str], None]) -> None:
        """Args: folder: of what W&B keeps on the disk; say: hears that the server cannot be reached."""
        self._project, self._folder, self._say = project, folder, say
        self._about: RunInfo | None = None
        self._name, self._open, self._is_offline = "", None, False
        self._steps: set[tuple[str, int]] = set()

    def start(self, run: RunInfo) -> None:
        self._about = run

    def epoch(self, *, seed: int, fold: int | None, metrics: EpochMetrics) -> None:
        place = curve_id(seed, fold), metrics.epoch
        if place not in self._steps:
            self._steps.add(place)
            self._run(place[0]).log({**epoch_scalars(metrics), "epoch": metrics.epoch}, step=metrics.epoch)

    def seed(self, *, fold: int | None, result: SeedResult) -> None:
        self._run(curve_id(result.seed, fold)).summary.update(final_scalars(result))

    def end(self, state: RunState) -> None:
        if self._open is not None:
            self._open.summary.update({"state": state})
        self._close(exit_code=int(state == "failed"))
        self._steps = set()

    def _run(self, name: str) -> Any:
        if self._open is None or self._name != name:
            self._close()
            self._name, self._open = name, self._begin(name)
        return self._open

    def _begin(self, name: str) -> Any:
        if not self._is_offline:
            try:
                return self._init(name, mode=None)
            except Exception as e:  # W&B raises errors of many kinds; whatever it is, the disk is there
                self._is_offline = True
                wandb.teardown()  # its process still holds the run's id, and would refuse it (wandb 0.31)
                reason = " ".join(str(e).split()) or type(e).__name__
                self._say(f"wandb: {reason}; the run is kept in {self._folder}, and `wandb sync` sends it later")
        return self._init(name, mode="offline")

    def _init(self, name: str, *, mode: str | None) -> Any:
        assert self._about is not None, "start comes first"
        self._folder.mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project=self._project,
            group=self._about.group,
            name=f"{self._about.name} {name}",
            id=safe(f"{self._about.run_id}-{name}"),
            config=dict(self._about.configuration),
            dir=str(self._folder),
            mode=mode,
            resume="allow",
            settings=wandb.Settings(init_timeout=_INIT_TIMEOUT_S, console="off", silent=True),
        )

    def _close(self, exit_code: int = 0) -> None:
        if self._open is not None:
            run, self._open = self._open, None
            run.finish(exit_code=exit_code)
