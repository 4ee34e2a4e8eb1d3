"""How fast a trial's loop trains: beside the bare step on one resident batch, and beside files read by a DataLoader.

python benchmarks/train.py [--quick] [--rounds 5] [--seconds 5] [--device cuda] [--architectures cnn resnet50]

At the sizes of two studies, all layers trained: S1 (3 × 224 × 224, made on the device of stored 128 × 216 log-mels;
cross-entropy over 50 labels; nothing disturbed) and S2 (1 × 128 × 313; BCE over 206 labels; rolled, flipped, pasted,
masked and mixed). Contenders take turns with the same model, optimizer, loss and precision on the same cores:

bare step   forward, backward, optimizer step on one batch that lies ready: the loop's ceiling
loop        training/seed_run.py over all it does between two validations: order, batches, disturbances
files       the usual recipe (train_files.py); its workers share the cores

The column of arithmetic is a ceiling of the hardware: images/s if all operations of a step ran at the speed of one
large matrix product in the same precision. On a GPU the precision is bf16 and the memory order channels_last.
"""

import argparse
import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.machine import print_machine
from benchmarks.train_files import Arrays, Example, Pictures, loader, write_arrays, write_pictures
from training import TrialConfig, TrialData
from training.data import PartData
from training.inputs import device_data
from training.recipe import AugmentConfig, InputConfig, LoopConfig, LossConfig
from training.seed_run import SeedRun

NUM_CORES = len(os.sched_getaffinity(0))
ARCHITECTURES = ("cnn", "resnet50", "efficientnet_b0")
_NUM_ROWS = 256  # distinct ones; the data set is these over and over
_MOST_ROWS = 65_536  # of the loop's data set, which lies on the device


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """Attributes: shape: of stored log-mels; trial: what a configuration says of it."""

    shape: tuple[int, int]
    num_labels: int
    trial: Mapping[str, Any]


STUDIES = {
    "s1": Study(
        shape=(128, 216),
        num_labels=50,
        trial={"input": InputConfig(scaling="unit", channels=3, height=224, width=224)},
    ),
    "s2": Study(
        shape=(128, 313),
        num_labels=206,
        trial={
            "loss": LossConfig(kind="bce"),
            "augment": AugmentConfig(
                roll=True,
                flip_probability=0.5,
                inaugment_probability=0.5,
                time_mask_frames=30,
                frequency_mask_bands=12,
                mask_probability=0.5,
                mix="resizemix",
                mix_alpha=1.0,
                mix_probability=0.5,
            ),
        },
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps: within a minute, and noisy")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one turn of the bare step, about")
    parser.add_argument("--architectures", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("This machine has no CUDA device that torch can use: nothing to measure (nvidia-smi?).", file=sys.stderr)
        return 2
    torch.set_num_threads(NUM_CORES)
    device = torch.device(arguments.device)
    rounds, turn_s = (2, 0.3) if arguments.quick else (arguments.rounds, arguments.seconds)
    flops_per_s = _matrix_product_speed(device)
    print_device(device)
    _print_head(rounds, flops_per_s)
    found = []
    with torch.random.fork_rng(), tempfile.TemporaryDirectory(prefix="melsweep-benchmark-") as folder:
        for study_name, study in STUDIES.items():
            for architecture in arguments.architectures:
                name = f"{study_name} {architecture}"
                race = Race(architecture, study, device, Path(folder) / name, rounds=rounds, turn_s=turn_s)
                found.append(_measured(name, race, flops_per_s))
    for name in ("loop_vs_bare_step", "vs_files_recipe"):
        print(f"figure train.{name} {min(of_case[name] for of_case in found):.3f}")
    return 0


def _measured(name: str, race: "Race", flops_per_s: float) -> dict[str, float]:
    """Prints a line of the table and returns its ratios."""
    images_per_s = race.run()
    bare, loop, files = (images_per_s[contender] for contender in ("bare", "loop", "files"))
    ratios = {
        "loop_vs_bare_step": statistics.median(our / other for our, other in zip(loop, bare, strict=True)),
        "vs_files_recipe": statistics.median(our / other for our, other in zip(loop, files, strict=True)),
    }
    ceiling = flops_per_s / race.flops_per_image()
    medians = "".join(f"{statistics.median(measured):10.1f}" for measured in (bare, loop, files))
    print(
        f"  {name:20s} {race.batch_size:5d} {race.num_steps:5d} {ceiling:10.1f}{medians}"
        f"{ratios['loop_vs_bare_step']:13.3f}{ratios['vs_files_recipe']:13.2f}",
        flush=True,
    )
    return ratios


class Race:
    """Three contenders over one architecture and study.

    Attributes:
        num_steps: of a turn, for about `turn_s` seconds of the bare step.
    """

    def __init__(
        self, architecture: str, study: Study, device: torch.device, folder: Path, *, rounds: int, turn_s: float
    ) -> None:
        self.batch_size = 128 if device.type == "cuda" else 16 if architecture == "cnn" else 4
        self._device, self._rounds = device, rounds
        config = config_of(architecture, study, device, self.batch_size)
        few = data_of(study, _NUM_ROWS)
        self._bare, self._peer = (_seed_run(config, few) for _ in range(2))
        self._peer.begin_epoch()
        self._bare.begin_epoch()
        self._batch = self._bare.next_batches()[0]()
        self.num_steps = self._steps_in(turn_s)
        self._loop = _seed_run(config, data_of(study, self.batch_size * (self.num_steps * (rounds + 1) + 1)))
        self._files = self._loader(few, folder)

    def run(self) -> dict[str, list[float]]:
        """Images/s of every contender in every round."""
        turns: dict[str, Callable[[], None]] = {
            "bare": lambda: self._take_bare(self.num_steps),
            "loop": self._take_loop,
            "files": self._take_files,
        }
        found: dict[str, list[float]] = {name: [] for name in turns}
        for take in turns.values():
            take()  # starts workers, fills caches
        for _ in range(self._rounds):
            for name, take in turns.items():
                started = time.perf_counter()
                take()
                found[name].append(self.num_steps * self.batch_size / (time.perf_counter() - started))
        return found

    def flops_per_image(self) -> float:
        """Of forward and backward; a multiplication and an addition count as two."""
        with FlopCounterMode(display=False) as counter:
            self._take_bare(1)
        return counter.get_total_flops() / self.batch_size

    def _steps_in(self, turn_s: float) -> int:
        self._take_bare(1)  # plans, memory
        started = time.perf_counter()
        self._take_bare(1)
        found = round(turn_s / (time.perf_counter() - started))
        return max(1, min(found, _MOST_ROWS // (self.batch_size * (self._rounds + 1))))

    def _take_bare(self, num_steps: int) -> None:
        for _ in range(num_steps):
            _step(self._bare, *self._batch)
        _wait_for(self._device)

    def _take_loop(self) -> None:
        """The loop itself, put down after some steps and taken up at the next turn, never at an epoch's end."""
        taken = iter(range(self.num_steps - 1))
        if self._loop.train_epoch(lambda: next(taken, None) is None) is not None:
            raise AssertionError("the epoch was too short: its validation was timed with it")

    def _take_files(self) -> None:
        layout = torch.channels_last if self._peer.config.loop.channels_last else torch.contiguous_format
        for inputs, targets in self._files:
            inputs, targets = (tensor.to(self._device, non_blocking=True) for tensor in (inputs, targets))
            _step(self._peer, inputs.contiguous(memory_format=layout), targets)
        _wait_for(self._device)

    def _loader(self, data: TrialData, folder: Path) -> "DataLoader[Example]":
        train, config = data.parts["train"], self._bare.config
        targets = train.has_label.astype(np.float32)
        num_examples = self.num_steps * self.batch_size
        folder.mkdir(parents=True)
        examples: Dataset[Example]
        if config.input.height:
            paths = write_pictures(folder, train.log_mel)
            size = (config.input.height, config.input.width)
            examples = Pictures(paths, targets, num_examples, size)
        else:
            examples = Arrays(write_arrays(folder, train.log_mel), targets, num_examples)
        return loader(examples, batch_size=self.batch_size, num_workers=NUM_CORES, device=self._device)


def _step(run: SeedRun, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """As a notebook has it."""
    run.optimizer.zero_grad(set_to_none=True)
    with run.stepper.autocast():
        logits = run.model(inputs)
    run.loss(logits.float(), targets).backward()  # type: ignore[no-untyped-call]
    run.optimizer.step()


def config_of(architecture: str, study: Study, device: torch.device, batch_size: int) -> TrialConfig:
    return TrialConfig(
        architecture=architecture,
        dataset="benchmark",
        fingerprint="f" * 16,
        split_hash="5" * 16,
        seeds=(1,),
        epochs=2,
        batch_size=batch_size,
        loop=LoopConfig(channels_last=device.type == "cuda"),
        device="cuda" if device.type == "cuda" else "cpu",
        **study.trial,
    )


def _seed_run(config: TrialConfig, data: TrialData) -> SeedRun:
    return SeedRun(config, seed=1, data=device_data(data, config, torch.device(config.device)))


def data_of(study: Study, num_rows: int) -> TrialData:
    part = _part(study, 4)
    labels_in_words = tuple(f"label{label:03d}" for label in range(study.num_labels))
    return TrialData(
        labels=labels_in_words,
        mean_db=-40.0,
        deviation_db=15.0,
        parts={"train": _part(study, num_rows), "validation": part, "test": part},
    )


def _part(study: Study, num_rows: int) -> PartData:
    rows = np.arange(num_rows)
    labels = rows % study.num_labels
    return PartData(
        log_mel=_distinct(study.shape)[rows % _NUM_ROWS],
        has_label=np.eye(study.num_labels, dtype=np.bool_)[labels],
        first_label=labels,
        clip_ids=tuple(f"clip{row:07d}" for row in rows),
        groups=("group",) * num_rows,
    )


@functools.cache
def _distinct(shape: tuple[int, int]) -> NDArray[np.float16]:
    return np.random.default_rng(0).normal(-40, 15, (_NUM_ROWS, *shape)).astype(np.float16)


def _matrix_product_speed(device: torch.device) -> float:
    """Operations/s of one large product, in the precision that the contenders have on this device."""
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (1536, torch.float32)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(5):
        _wait_for(device)
        started = time.perf_counter()
        torch.mm(left, right)
        _wait_for(device)
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def print_device(device: torch.device) -> None:
    print_machine(("torch", "torchvision", "timm", "numpy", "pillow"), num_cores=NUM_CORES)
    print(torch.cuda.get_device_name() + ", bf16" if device.type == "cuda" else "CPU, fp32")


def _print_head(rounds: int, flops_per_s: float) -> None:
    print(f"\none large matrix product: {flops_per_s / 1e12:.2f} TFLOP/s")
    print(f"images/s: medians of {rounds} rounds; files by {NUM_CORES} workers on the same cores")
    print(
        f"  {'':20s} {'batch':>5s} {'steps':>5s} {'arithmetic':>10s}{'bare step':>10s}{'loop':>10s}{'files':>10s}"
        f"{'loop ÷ bare':>13s}{'loop ÷ files':>13s}"
    )


if __name__ == "__main__":
    sys.exit(main())
