"""Which clips of a data set hold the same sound, by its features at rest.

Enters: a manifest and its features. Leaves: pairs of clips, equal ones and nearly equal ones. No recording is read:
exact copies are known by the hash of decoded samples in every row's provenance, near ones by the levels of their
log-mels or fbanks (levels.py). Of IQ samples only exact copies are looked for.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.audits.levels import has_levels, levels_db, spec_at_rest
from pipelines.audits.near_duplicates import NearDuplicateSearch, NearDuplicateSettings
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip, Manifest
from pipelines.variants import ORIGINAL
from storage.feature_store import FeatureStore

_COLUMNS = ["clip_id", "variant", "window", "provenance"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two clips that hold the same sound: exactly (correlation None), or nearly.

    Attributes:
        lag_s: how much later the sound comes in the second; None where nothing tells where in the clips the windows
            lie.
    """

    first: Clip
    second: Clip
    correlation: float | None = None
    lag_s: float | None = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Copies:
    """What the features say about copies.

    Attributes:
        num_clips: with features, so compared.
        num_without_pattern: windows with too little change to be compared for near copies.
    """

    pairs: tuple[Pair, ...]
    num_clips: int
    num_without_pattern: int


@dataclass(frozen=True, slots=True)
class _Window:
    clip: Clip
    start_s: float | None
    pcm_hash: str


def find_copies(manifest: Manifest, features: FeatureStore, settings: NearDuplicateSettings) -> Copies:
    """Exact copies among all clips, and near copies among clips that differ in group or labels.

    Of k equal clips k - 1 pairs are told, each with the first. Variants made on purpose are left out.

    Raises:
        StorageError: the features are not complete.
    """
    clips = {clip.clip_id: clip for clip in manifest.clips}
    field = features.schema().field("log_mel")
    spec = spec_at_rest((features.marker() or {})["spec"])
    search = NearDuplicateSearch(settings, hop_s=spec.hop_samples / spec.sample_rate_hz)
    windows: list[_Window] = []
    for part in features.batches(columns=[*_COLUMNS, *(["log_mel"] if has_levels(spec) else [])]):
        originals = part.filter(pc.equal(part["variant"], ORIGINAL))
        if originals.num_rows:
            windows.extend(_windows(originals, clips, spec))
            if has_levels(spec):
                search.add(levels_db(originals["log_mel"], field, spec))
    pairs = (*_equal_pairs(windows), *_near_pairs(search, windows))
    num_clips = len({window.clip.clip_id for window in windows})
    return Copies(pairs=pairs, num_clips=num_clips, num_without_pattern=search.num_without_pattern())


def _windows(rows: pa.Table, clips: Mapping[str, Clip], spec: FeatureSpec) -> Iterator[_Window]:
    names = ("clip_id", "window", "provenance")
    is_even = spec.windows in ("first", "all")  # others lie where the length of the clip put them, which no row tells
    for clip_id, window, provenance in zip(*(rows[name].to_pylist() for name in names), strict=True):
        start_s = window * spec.window_hop_s if is_even else None
        yield _Window(clips[clip_id], start_s, json.loads(provenance)["pcm_hash"])


def _equal_pairs(windows: Iterable[_Window]) -> Iterator[Pair]:
    by_hash: dict[str, dict[str, Clip]] = defaultdict(dict)
    for window in windows:
        by_hash[window.pcm_hash][window.clip.clip_id] = window.clip
    for first, *others in (tuple(equal.values()) for equal in by_hash.values()):
        yield from (Pair(first=first, second=other) for other in others)


def _near_pairs(search: NearDuplicateSearch, windows: Sequence[_Window]) -> Iterator[Pair]:
    """The best pair of windows of every two clips that are not equal anyway."""
    kin = {key: number for number, key in enumerate(dict.fromkeys(_kin(window.clip) for window in windows))}
    seen = set()
    for found in search.find(np.array([kin[_kin(window.clip)] for window in windows], dtype=np.int64)):
        first, second, lag_s = windows[found.first], windows[found.second], found.lag_s
        if first.clip.clip_id > second.clip.clip_id:
            first, second, lag_s = second, first, -lag_s
        ids = first.clip.clip_id, second.clip.clip_id
        if ids not in seen and first.pcm_hash != second.pcm_hash:
            seen.add(ids)
            yield Pair(
                first=first.clip,
                second=second.clip,
                correlation=found.correlation,
                lag_s=None
                if first.start_s is None or second.start_s is None
                else lag_s + second.start_s - first.start_s,
            )


def _kin(clip: Clip) -> tuple[str, tuple[str, ...]]:
    """Clips of one group are expected to sound alike, unless their labels deny it."""
    return clip.group, tuple(sorted(clip.labels))
