"""TensorBoard: event files below a folder, `<group>/<run_id>/<seed>`. The one file that imports tensorboard.

A run that is taken up writes another event file beside the earlier ones, which are read first: what stands in
them is not written again. (`purge_step`, TensorBoard's own way, would also drop what nobody tells a second time.)
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from sweeps.loggers.run_logger import EndedSeed, RunInfo, RunState, curve_id, epoch_scalars, final_scalars, safe
from training.progress import EpochMetrics


class TensorboardLog:
    """A `RunLogger`; one writer per seed and fold, open until the run ends."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: of all runs, for `tensorboard --logdir`."""
        self._folder = folder
        self._run: RunInfo | None = None
        self._curves: dict[str, _Curve] = {}

    def start(self, run: RunInfo) -> None:
        self._run = run

    def epoch(self, *, seed: int, fold: int | None, metrics: EpochMetrics) -> None:
        self._curve(seed, fold).write(epoch_scalars(metrics), step=metrics.epoch)

    def seed(self, *, fold: int | None, result: EndedSeed) -> None:
        self._curve(result.seed, fold).write_end(final_scalars(result), step=result.epochs_trained)

    def end(self, state: RunState) -> None:
        for curve in self._curves.values():
            curve.close()
        self._curves = {}

    def _curve(self, seed: int, fold: int | None) -> "_Curve":
        assert self._run is not None, "start comes first"
        name = curve_id(seed, fold)
        if name not in self._curves:
            folder = self._folder / safe(self._run.group) / safe(self._run.run_id) / name
            self._curves[name] = _Curve(folder, self._run, seed)
        return self._curves[name]


class _Curve:
    """The event files of one seed and fold.

    Hyperparameters are written without the summary that lists those of all runs: TensorBoard takes the first such list
    that it finds, and architectures have different ones. Without any it makes the list itself.
    """

    def __init__(self, folder: Path, run: RunInfo, seed: int) -> None:
        self._steps = _steps_there(folder)
        self._writer = SummaryWriter(str(folder))
        _, self._session_start, self._session_end = hparams({**run.hyperparameters, "seed": seed}, {})
        self._is_compared = bool(run.hyperparameters)
        if self._is_compared and not self._steps:
            self._add(self._session_start)
        if not self._steps:
            pretty = json.dumps(dict(run.configuration), indent=2, sort_keys=True, default=str)
            # Four blanks make it code, in which TensorBoard's Markdown changes nothing.
            self._writer.add_text(
                "configuration", "\n".join(f"    {line}" for line in [run.name, *pretty.splitlines()])
            )

    def write(self, scalars: dict[str, float], *, step: int) -> None:
        for name, value in scalars.items():
            if step not in self._steps[name]:
                self._steps[name].add(step)
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def write_end(self, scalars: dict[str, float], *, step: int) -> None:
        if self._is_compared and not scalars.keys() <= self._steps.keys():
            self._add(self._session_end)
        self.write(scalars, step=step)

    def close(self) -> None:
        self._writer.close()

    def _add(self, summary: Any) -> None:
        writer: Any = self._writer.file_writer  # torch declares it as None
        writer.add_summary(summary)


def _steps_there(folder: Path) -> defaultdict[str, set[int]]:
    """Name of a curve → steps that stand in event files; a record that a killed process left cut off does not count."""
    steps: defaultdict[str, set[int]] = defaultdict(set)
    if folder.is_dir():
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
        for name in events.Tags()["scalars"]:
            steps[name] = {event.step for event in events.Scalars(name)}
    return steps
