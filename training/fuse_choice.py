"""Whether a trial's seeds train together: only where that is possible and, measured on the spot, faster.

Enters: a configuration and a maker of its seeds. Leaves: a choice with its reason. The seeds that are measured are
thrown away, so that a trial's numbers do not depend on having been measured.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from training.config import TrialConfig
from training.fused_step import FusedStepper
from training.seed_run import SeedRun
from training.steps import OutOfMemory

FuseSeeds = Literal["never", "auto", "always"]

_ARCHITECTURES = ("cnn", "alexnet")  # small ones; a large one fills a device by itself
_NUM_STEPS, _STEPS_PER_ROUND = 20, 4
_LEAST_GAIN = 1.05  # a gain that is smaller is lost again where a trial is stopped before its last seed
_LEAST_STEPS = 1000  # of a seed, or measuring would cost more than 5 % of the trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Attributes:
    together: whether the seeds train together.
    reason: one sentence for the trial's events.
    """

    together: bool
    reason: str


def choose(config: TrialConfig, make_run: Callable[[int], SeedRun], fuse_seeds: FuseSeeds) -> Choice:
    """Decides for a trial of several seeds that has not begun.

    Args:
        make_run: makes a seed's run at its first step.
        fuse_seeds: what the caller allows: `never`; `auto`, where 20 steps together are faster and the numbers are
            those of separate seeds to rounding; `always`, wherever it is possible.
    """
    if fuse_seeds == "never":
        return _alone("as the caller wishes")
    obstacle = why_not(config)
    if obstacle is not None:
        return _alone(obstacle)
    if fuse_seeds == "always":
        return Choice(together=True, reason="the seeds train together, as the caller wishes")
    drifting = _what_drifts(config)
    if drifting is not None:
        return _alone(f"{drifting} would give numbers that depend on what a stopwatch says")
    try:
        runs = [make_run(seed) for seed in config.seeds]
        if runs[0].num_steps < _LEAST_STEPS:
            return _alone(f"{runs[0].num_steps} steps are too few to measure what is faster")
        speedup = measure_speedup(runs)
    except (torch.OutOfMemoryError, OutOfMemory):
        return _alone("together they do not fit into the device's memory")
    measured = f"{_NUM_STEPS} steps together were {speedup:.2f} times as fast as one seed after the other"
    if speedup < _LEAST_GAIN:
        return _alone(measured)
    return Choice(together=True, reason=f"the seeds train together: {measured}")


def why_not(config: TrialConfig) -> str | None:
    """What keeps the seeds of a trial from training together, whatever the device; None for nothing."""
    loop = config.loop
    obstacles = {
        f"only {' and '.join(_ARCHITECTURES)} train together": config.architecture not in _ARCHITECTURES,
        "plateau lowers each seed's learning rate by itself": config.schedule.kind == "plateau",
        "fp16 scales each seed's loss by itself": config.precision_resolved == "fp16",
        "a compiled model cannot be stacked": loop.compile,
        "stacks are not kept in channels_last": loop.channels_last,
        "an anomaly would name no seed": loop.detect_anomaly,
    }
    return next((obstacle for obstacle, applies in obstacles.items() if applies), None)


def _what_drifts(config: TrialConfig) -> str | None:
    """What makes seeds that train together drift away from separate ones, by how much in a training loss; or None."""
    if config.precision_resolved != "fp32":
        return config.precision_resolved  # 0.017 after 4 epochs of cnn in bf16 (2026-11-21)
    if config.architecture == "alexnet" and config.optimizer.kind != "sgd":
        # 0.06 after 20 steps: gradients as small as Adam's epsilon, of which rounding decides the sign (2026-11-21).
        return f"{config.optimizer.kind} with alexnet"
    return None


def measure_speedup(runs: list[SeedRun]) -> float:
    """Time of 20 steps of each seed by itself, divided by that of 20 steps together; both take turns.

    Args:
        runs: fresh ones, of no use afterwards.

    Raises:
        torch.OutOfMemoryError: they do not fit together.
    """
    for run in runs:
        run.begin_epoch()
    fused = FusedStepper(runs)
    seconds: dict[str, list[float]] = {"alone": [], "together": []}
    for _ in range(1 + _NUM_STEPS // _STEPS_PER_ROUND):
        seconds["alone"].append(_timed(lambda: [run.stepper.step(run.next_batches()) for run in runs], runs[0].device))
        seconds["together"].append(_timed(lambda: fused.step([run.next_batches() for run in runs]), runs[0].device))
    # The first round plans kernels and takes memory.
    return statistics.median(
        alone / together for alone, together in zip(seconds["alone"][1:], seconds["together"][1:], strict=True)
    )


def _timed(step: Callable[[], object], device: torch.device) -> float:
    _wait_for(device)
    started = time.perf_counter()
    for _ in range(_STEPS_PER_ROUND):
        step()
    _wait_for(device)
    return time.perf_counter() - started


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _alone(reason: str) -> Choice:
    return Choice(together=False, reason=f"the seeds train one after the other: {reason}")
