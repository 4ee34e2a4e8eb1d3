"""What a search over heads costs on stored embeddings, beside one plain run of the same frozen backbone.

python benchmarks/head_search.py [--quick] [--clips 160] [--heads 32] [--epochs 15]

System S1: ResNet-50, frozen, at 3 × 224 × 224, S1's head and settings, 15 epochs, batch 16. The plain run passes every
training and validation clip through the backbone in every epoch, as notebooks do; it is ours too (`run_trial` on
log-mels), with all cores. The search makes the embeddings of all clips by Ray Data into a store, from nothing and with
the start of its actors, and then trains 32 heads on one core, one after the other, each a whole trial with its
checkpoints. Both leave the weights of the best epoch. Ray itself is started before the clock. Half of the heads are
trained before the plain run and half after it. The log-mels are noise and the weights random, which does not change the
time.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.machine import print_machine
from cluster.session import ray_session
from models import create_model
from storage.checkpoints import Checkpoints
from storage.feature_schemas import QUARANTINE_SCHEMA, feature_schema
from storage.feature_store import FeatureStore, Shard
from storage.object_store import ObjectStore, open_store
from storage.split import Part, Split
from sweeps.embeddings import embed
from training import TrialConfig, TrialData, load_trial_data, run_trial
from training.config import with_values
from training.recipe import InputConfig, LoopConfig, OptimizerConfig, ScheduleConfig

NUM_CORES = len(os.sched_getaffinity(0))
NUM_LABELS = 10
LOG_MEL = (128, 216)  # of 5 s at 22.05 kHz with a hop of 512
CLIPS_PER_PART = 16
# Eight of ten clips train, one validates, one tests.
CYCLE: tuple[Part, ...] = ("train",) * 8 + ("validation", "test")

HEADS = [
    {"optimizer.learning_rate": rate, "optimizer.weight_decay": decay, "model.dropout": dropout, "model.head_hidden": h}
    for rate, decay, dropout, h in itertools.product((3e-4, 1e-3, 3e-3, 1e-2), (1e-4, 1e-2), (0.2, 0.5), (256, 512))
]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few clips and heads: within a minute, and noisy")
    parser.add_argument("--clips", type=int, default=160)
    parser.add_argument("--heads", type=int, default=len(HEADS), help=f"at most {len(HEADS)}")
    parser.add_argument("--epochs", type=int, default=15)
    arguments = parser.parse_args(argv)
    num_clips, num_heads = (20, 8) if arguments.quick else (arguments.clips, arguments.heads)
    print_machine(("numpy", "torch", "timm", "ray"), num_cores=NUM_CORES)
    torch.set_num_threads(NUM_CORES)
    with tempfile.TemporaryDirectory(prefix="melsweep-benchmark-") as folder, ray_session(num_cpus=NUM_CORES):
        store = open_store(str(Path(folder) / "store"))
        features, split = _features(store, num_clips)
        config = _s1(_weights(Path(folder)), arguments.epochs)
        data = load_trial_data(features.load(), split)
        seconds = _measure(config, data, features, split, HEADS[:num_heads])
    ratio = _print_table(seconds, num_clips, num_heads, arguments.epochs)
    print(f"figure train.head_search_vs_plain_run {ratio:.3f}")
    return 0


def _measure(
    config: TrialConfig, data: TrialData, features: FeatureStore, split: Split, heads: Sequence[dict[str, float]]
) -> dict[str, float]:
    store, found = features.store, list[TrialData]()
    half = len(heads) // 2

    def train(numbered: Sequence[int]) -> None:
        torch.set_num_threads(1)
        for number in numbered:
            _run(with_values(config, heads[number]), found[0], store, f"head-{number}")
        torch.set_num_threads(NUM_CORES)

    return {
        "embeddings": _timed(lambda: found.append(embed(config, data, features, split))),
        "heads": _timed(lambda: train(range(half))),
        "plain": _timed(lambda: _run(config, data, store, "plain")),
        "heads, second half": _timed(lambda: train(range(half, len(heads)))),
    }


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _run(config: TrialConfig, data: TrialData, store: ObjectStore, name: str) -> None:
    result = run_trial(config, data, lambda **heard: None, Checkpoints(store, f"checkpoints/{name}"))
    if not any(key.startswith("backbone.") for key in result.seeds[0].best_weights):
        raise AssertionError(f"{name} left no whole model")


def _print_table(seconds: dict[str, float], num_clips: int, num_heads: int, epochs: int) -> float:
    of_heads = seconds["heads"] + seconds["heads, second half"]
    search = seconds["embeddings"] + of_heads
    print(f"\n{num_clips} clips, {epochs} epochs, {NUM_CORES} cores")
    print(f"  {'':44s} {'seconds':>8s} {'÷ plain':>8s}")
    for name, value in {
        "plain run, backbone in every epoch": seconds["plain"],
        "embeddings of all clips, once": seconds["embeddings"],
        f"{num_heads} heads": of_heads,
        f"search over {num_heads} heads in all": search,
    }.items():
        print(f"  {name:44s} {value:8.1f} {value / seconds['plain']:8.2f}")
    return search / seconds["plain"]


def _s1(weights: str, epochs: int) -> TrialConfig:
    """SYSTEMS' S1, one seed."""
    return TrialConfig(
        architecture="resnet50",
        dataset="benchmark-0",
        fingerprint="f" * 16,
        split_hash="5" * 16,
        model={"head": "mlp"},
        weights=weights,
        freeze="backbone",
        seeds=(42,),
        epochs=epochs,
        batch_size=16,
        input=InputConfig(scaling="unit", channels=3, height=224, width=224),
        optimizer=OptimizerConfig(kind="adam", learning_rate=0.01, weight_decay=0.01),
        schedule=ScheduleConfig(kind="plateau", plateau_patience=3, plateau_factor=0.5),
        loop=LoopConfig(precision="fp32"),
    )


def _weights(folder: Path) -> str:
    """A file as it lies on a disk after a download; 94 MiB."""
    path = folder / "resnet50.safetensors"
    save_file(create_model("resnet50", num_classes=1000, in_channels=3, seed=0).state_dict(), path)
    return str(path)


def _features(store: ObjectStore, num_clips: int) -> tuple[FeatureStore, Split]:
    features = FeatureStore(store, dataset="benchmark-0", fingerprint="f" * 16)
    clip_ids = [f"clip{number:05d}" for number in range(num_clips)]
    shards = []
    for index, first in enumerate(range(0, num_clips, CLIPS_PER_PART)):
        rows = _rows(clip_ids[first : first + CLIPS_PER_PART], first)
        shard = Shard(
            index=index, clips_hash=f"{index:04x}", num_clips=len(rows), num_rows=len(rows), num_quarantined=0
        )
        shards.append(features.write_shard(shard, rows, QUARANTINE_SCHEMA.empty_table()))
    features.commit(shards, spec={}, versions={})
    parts = {clip_id: CYCLE[number % len(CYCLE)] for number, clip_id in enumerate(clip_ids)}
    groups = dict(zip(clip_ids, clip_ids, strict=True))
    return features, Split(dataset="benchmark-0", policy="every tenth", parts=parts, groups=groups)


def _rows(clip_ids: Sequence[str], first: int) -> pa.Table:
    rng = np.random.default_rng(first)
    log_mel = rng.normal(-40, 15, (len(clip_ids), *LOG_MEL)).astype(np.float16)
    schema = feature_schema(LOG_MEL, "float16")
    columns = {
        "clip_id": clip_ids,
        "recording_id": clip_ids,
        "group": clip_ids,
        "variant": ["original"] * len(clip_ids),
        "window": [0] * len(clip_ids),
        # Ten clips in a row have one label, so that every part has every label.
        "labels": [[f"label{(first + row) // len(CYCLE) % NUM_LABELS}"] for row in range(len(clip_ids))],
        "fold": [None] * len(clip_ids),
        "provenance": ["{}"] * len(clip_ids),
    }
    arrays = {name: pa.array(values, type=schema.field(name).type) for name, values in columns.items()}
    arrays["log_mel"] = pa.FixedShapeTensorArray.from_numpy_ndarray(log_mel)
    return pa.table([arrays[name] for name in schema.names], schema=schema)


if __name__ == "__main__":
    sys.exit(main())
