"""Writes stored features as files: .npy or .png, one per row, or one large .npy. Run again, it goes on.

python jobs/export_features.py out=<folder or s3://…> format=npy storage.uri=<store>
python jobs/export_features.py out=<folder> format=array
python jobs/export_features.py out=<folder> format=png colours=viridis

npy and png are <clip>/<window>.npy, `path` in index.parquet says which is which. Rows of array stand in features.npy in
the order of index.parquet; numpy.load("features.npy", mmap_mode="r") shares it between the processes of a machine.
Values are dB. Features stored as uint8 come as float16; README.md tells their error.
"""

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jobs.command_line import parse_settings, usage
from jobs.console import progress, run_job, say
from jobs.places import StorageSettings
from storage.affine_scale import AffineScale
from storage.errors import InvalidInput
from storage.feature_export import Encode, OnProgress, encode_npy, export_array, export_rows
from storage.feature_images import Colours, encode_png
from storage.feature_store import FeatureStore, complete_features
from storage.object_store import ObjectStore, open_store


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSettings:
    """What goes where.

    Attributes:
        dataset, fingerprint: which features; may stay empty where the store has only one that fits.
        out: an empty folder, or s3://bucket/prefix (not for `array`).
        dtype: of .npy; `stored` for that of the store (float16 for uint8).
        colours: of .png.
        range_db: what is black and what is white in a .png; null for (-top_db, 0) or the range of uint8.
    """

    storage: StorageSettings = field(default_factory=StorageSettings)
    dataset: str = ""
    fingerprint: str = ""
    out: str = ""
    format: Literal["npy", "array", "png"] = "npy"
    dtype: Literal["stored", "float16", "float32"] = "stored"
    colours: Colours = "grey"
    range_db: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        given = self.range_db
        if given is not None and not (len(given) == 2 and given[0] < given[1]):
            raise InvalidInput("range_db", given=given, allowed="[low,high] in dB", remedy="As range_db=[-80,0].")


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_export, argv, usage=usage(__doc__, ExportSettings))


def _export(words: Sequence[str]) -> None:
    settings = parse_settings(ExportSettings, words)
    if not settings.out:
        raise InvalidInput("out", given="", allowed="an empty folder", remedy="Give out=<folder>.")
    if settings.format == "array" and "://" in settings.out:
        raise InvalidInput("out", given=settings.out, allowed="a local folder", remedy="Or use format=npy.")
    store = open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url)
    features = _find(store, settings)
    with progress(f"export {settings.format}, rows") as tell:
        _write(features, settings, tell)
    say(f"{features.dataset}/{features.fingerprint} exported to {settings.out}")


def _write(features: FeatureStore, settings: ExportSettings, on_progress: OnProgress) -> None:
    dtype = None if settings.dtype == "stored" else settings.dtype
    if settings.format == "array":
        export_array(features, Path(settings.out), dtype=dtype, on_progress=on_progress)
        return
    about: dict[str, Any] = {"format": settings.format}
    encode: Encode = encode_npy
    if settings.format == "png":
        range_db = _range_db(features, settings)
        about |= {"range_db": range_db, "colours": settings.colours}
        encode = functools.partial(encode_png, range_db=range_db, colours=settings.colours)
    out = open_store(settings.out, endpoint_url=settings.storage.endpoint_url)
    suffix = f".{settings.format}"
    export_rows(features, out, encode=encode, suffix=suffix, about=about, dtype=dtype, on_progress=on_progress)


def _find(store: ObjectStore, settings: ExportSettings) -> FeatureStore:
    """The features that the settings name, or the only ones."""
    there = complete_features(store)
    fitting = [
        (dataset, fingerprint)
        for dataset, fingerprint in there
        if settings.dataset in ("", dataset) and settings.fingerprint in ("", fingerprint)
    ]
    if len(fitting) != 1:
        listed = ", ".join(f"dataset={dataset} fingerprint={fingerprint}" for dataset, fingerprint in there)
        raise InvalidInput(
            "dataset, fingerprint",
            given=(settings.dataset, settings.fingerprint),
            allowed=listed or f"none: {store.uri} holds no complete features",
            remedy="Choose one of these." if there else "Run jobs/featurize.py first.",
        )
    dataset, fingerprint = fitting[0]
    return FeatureStore(store, dataset=dataset, fingerprint=fingerprint)


def _range_db(features: FeatureStore, settings: ExportSettings) -> tuple[float, float]:
    if settings.range_db is not None:
        return settings.range_db[0], settings.range_db[1]
    scale = AffineScale.from_metadata(features.schema().field("log_mel").metadata)
    if scale is not None:
        return scale.low_db, scale.high_db
    spec = (features.marker() or {"spec": {}})["spec"]
    if spec.get("db_reference") != "max" or not spec.get("top_db"):
        raise InvalidInput(
            "range_db", given=None, allowed="[low,high] in dB", remedy="These features have no range of their own."
        )
    return -float(spec["top_db"]), 0.0


if __name__ == "__main__":
    sys.exit(main())
