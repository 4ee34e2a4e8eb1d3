"""What --plan prints, of any job: features, hours and what they cost, as rows of a table.

Enters: an estimate, settings. Leaves: cells. What nobody knows is said to be unknown, and never guessed.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.pace import duration
from jobs.settings import ClusterSettings, JobSettings
from jobs.stages import in_bytes
from pipelines.estimate import Estimate, estimate
from pipelines.manifest import Manifest
from storage.object_store import ObjectStore

UNKNOWN = "unknown"
Row = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hours:
    """Of cores and GPUs that work; those that wait, and whole machines, are not in it. None: unknown."""

    cpu: float | None
    gpu: float | None


def estimate_features(manifest: Manifest, settings: JobSettings, store: ObjectStore) -> Estimate:
    """Computes a few clips in a temporary folder; writes nothing to the store."""
    num_gpus = 1 if settings.pipeline.device == "cuda" else 0
    pipeline = settings.pipeline.resolved(num_gpus, settings.features)
    num_actors = pipeline.num_actors or num_cpus_of(settings.cluster)
    return estimate(manifest, settings.features, store, pipeline, num_actors=num_actors)


def num_cpus_of(cluster: ClusterSettings) -> int:
    """Cores that a plan is for."""
    return cluster.num_cpus or os.cpu_count() or 1


def feature_rows(found: Estimate) -> list[Row]:
    sampled = f"measured on {found.num_sampled} clips here, {found.num_sampled_quarantined} of them without features"
    unknown_s = f" ({found.num_unknown_s} clips as the measured ones)" if found.num_unknown_s else ""
    unknown_bytes = f" and {found.num_unknown_bytes} files of unknown size" if found.num_unknown_bytes else ""
    memory = UNKNOWN if found.actor_bytes is None else in_bytes(found.actor_bytes)
    together = UNKNOWN if found.actor_bytes is None else in_bytes(found.actor_bytes * found.num_actors)
    return [
        ("clips", str(found.num_clips)),
        (f"  hours of audio{', about' if unknown_s else ''}", f"{found.audio_s / 3600:.3g}{unknown_s}"),
        ("  stored already", str(found.num_finished)),
        ("  copied from earlier versions", str(found.num_copied)),
        ("  to compute", str(found.num_to_compute)),
        ("  to read", f"{in_bytes(found.read_bytes)}{unknown_bytes}"),
        ("rows, about", str(found.num_rows)),
        ("shards", str(found.num_shards)),
        ("size of all features, about", in_bytes(found.size_bytes)),
        ("  still to be stored, about", in_bytes(found.missing_bytes)),
        (f"time with {found.num_actors} actors, about", f"{found.seconds:.0f} s"),
        ("  memory of each, about", memory),
        ("  of all together", together),
        ("estimate", sampled),
    ]


def cost_rows(hours: Hours, cluster: ClusterSettings) -> list[Row]:
    """Hours, and what they cost where prices were said."""
    prices = {"CPU": cluster.price_per_cpu_hour, "GPU": cluster.price_per_gpu_hour}
    spent = {"CPU": hours.cpu, "GPU": hours.gpu}
    rows = [
        (f"{kind}-hours, about", UNKNOWN if spent[kind] is None else f"{spent[kind]:.3g}") for kind in ("CPU", "GPU")
    ]
    if all(price is None for price in prices.values()):
        return rows
    unpriced = [kind for kind, price in prices.items() if price is None and spent[kind] != 0]
    known = [kind for kind, price in prices.items() if price is not None and spent[kind] is not None]
    parts = [(spent[kind] or 0.0) * (prices[kind] or 0.0) for kind in known]
    unknown = [kind for kind, price in prices.items() if price is not None and spent[kind] is None]
    without = ", ".join(
        [*(f"{kind}s without a price" for kind in unpriced), *(f"unknown {kind}-hours" for kind in unknown)]
    )
    told = f"{sum(parts):.2f}{f', without {without}' if without else ''}" if known else UNKNOWN
    return [*rows, ("cost at your prices, about", told)]


def span(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else duration(seconds)


def free_space(store: ObjectStore, wanted_bytes: int) -> Iterator[str]:
    """A line on what is free on a disk."""
    if "://" not in store.uri:
        place = next(folder for folder in (Path(store.uri), *Path(store.uri).parents) if folder.exists())
        free_bytes = shutil.disk_usage(place).free
        short = ", which is not enough" if free_bytes < wanted_bytes else ""
        yield f"free in {store.uri}: {in_bytes(free_bytes)}{short}"
