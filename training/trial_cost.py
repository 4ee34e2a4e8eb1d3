"""What a trial costs on this machine, before there are any features: a few steps on noise, in a process of its own.

Enters: a configuration, the shape of a row and the labels of clips. Leaves: a `TrialCost`. The process is fresh, so
that its memory is the trial's, and imports nothing but what trains; plain JSON goes in and out.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.config import TrialConfig
from training.probe import TrialProbe
from training.stand_in import stand_in

_MEASURE_FOR_S = 1.0
_LIMIT_S = 600.0
_CHILD = "from training.trial_cost import serve; serve()"


class CannotMeasure(Exception):
    """The trial does not run here. The message says why, in a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialCost:
    """Attributes:
    rows_per_second, scored_rows_per_second: trained, and answered without training.
    peak_bytes: of the process, or on a GPU of its memory.
    """

    rows_per_second: float
    scored_rows_per_second: float
    peak_bytes: int
    num_parameters: int


def measure(
    config: TrialConfig,
    *,
    feature_shape: tuple[int, ...],
    labels_of_clips: Sequence[Sequence[str]],
    num_scored: int,
    num_threads: int,
) -> TrialCost:
    """Trains and scores for about two seconds, beside the start of a process.

    Args:
        feature_shape, labels_of_clips, num_scored: as of `stand_in`.

    Raises:
        CannotMeasure: it fails, or takes more than ten minutes.
    """
    asked = {
        "config": config.to_dict(),
        "feature_shape": list(feature_shape),
        "labels_of_clips": [list(labels) for labels in labels_of_clips],
        "num_scored": num_scored,
    }
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(num_threads),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    try:
        run = subprocess.run(
            [sys.executable, "-c", _CHILD],
            input=json.dumps(asked),
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
    except subprocess.TimeoutExpired as e:
        raise CannotMeasure(f"it took more than {_LIMIT_S:.0f} s") from e
    lines = run.stderr.strip().splitlines() or [f"the process ended with code {run.returncode}"]
    if run.returncode:
        raise CannotMeasure(lines[-1])
    return TrialCost(**json.loads(run.stdout.splitlines()[-1]))


def serve() -> None:
    """The child's whole life: a question on its standard input, the answer on its standard output."""
    asked: dict[str, Any] = json.load(sys.stdin)
    config = TrialConfig.from_dict(asked["config"])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    data = stand_in(
        config,
        feature_shape=tuple(asked["feature_shape"]),
        labels_of_clips=asked["labels_of_clips"],
        num_scored=asked["num_scored"],
    )
    probe = TrialProbe(config, data)
    steps = probe.steps_per_second(for_s=_MEASURE_FOR_S)
    cost = TrialCost(
        rows_per_second=steps * config.batch_size * config.optimizer.accumulate,
        scored_rows_per_second=probe.scored_rows_per_second(for_s=_MEASURE_FOR_S),
        peak_bytes=probe.peak_bytes,
        num_parameters=probe.num_parameters,
    )
    print(json.dumps(dataclasses.asdict(cost)))
