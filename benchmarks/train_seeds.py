"""What training several seeds at once gains: time of 20 steps one seed after the other ÷ time of 20 steps together.

python benchmarks/train_seeds.py [--quick] [--seeds 3] [--device cuda]

For the small architectures, on log-mels of 64 × 108 in batches of 16 as the embedded preset has them, and of 128 × 216
(S1's as stored) in batches of 32, with masks, mixup and dropout. Both ways take turns (`training/fuse_choice.py`, which
decides by the same measurement). --quick takes the first size alone. On a GPU the precision is bf16.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.train import NUM_CORES, Study, config_of, data_of, print_device
from training.fuse_choice import measure_speedup
from training.inputs import device_data
from training.recipe import AugmentConfig, LoopConfig
from training.seed_run import SeedRun

_OPTIONS = {"cnn": {"dropout": 0.3}, "alexnet": {"dropout": 0.3, "hidden_features": 512}}
_DISTURBED = {"augment": AugmentConfig(time_mask_frames=12, frequency_mask_bands=8, mix_alpha=0.2)}
_SIZES = (((64, 108), 16), ((128, 216), 32))  # shape of a log-mel, batch size


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smaller size alone: within a minute")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("This machine has no CUDA device that torch can use: nothing to measure (nvidia-smi?).", file=sys.stderr)
        return 2
    torch.set_num_threads(NUM_CORES)
    device = torch.device(arguments.device)
    print_device(device)
    print(
        f"\n  {f'{arguments.seeds} seeds':12s} {'log-mels':>10s} {'batch':>6s} {'together ÷ one after the other':>32s}"
    )
    for architecture in _OPTIONS:
        speedups = [
            _speedup(architecture, shape, batch_size, device, num_seeds=arguments.seeds)
            for shape, batch_size in (_SIZES[:1] if arguments.quick else _SIZES)
        ]
        print(f"figure train.seeds_together_{architecture} {statistics.median(speedups):.3f}")
    return 0


def _speedup(
    architecture: str, shape: tuple[int, int], batch_size: int, device: torch.device, *, num_seeds: int
) -> float:
    study = Study(shape=shape, num_labels=10, trial=_DISTURBED)
    config = replace(
        config_of(architecture, study, device, batch_size),
        model=_OPTIONS[architecture],
        seeds=tuple(range(num_seeds)),
        loop=LoopConfig(),
    )
    data = device_data(data_of(study, 10 * batch_size), config, device)
    with torch.random.fork_rng():
        found = measure_speedup([SeedRun(config, seed=seed, data=data) for seed in config.seeds])
    size = f"{shape[0]} × {shape[1]}"
    print(f"  {architecture:12s} {size:>10s} {batch_size:6d} {found:32.2f}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
