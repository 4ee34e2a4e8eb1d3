"""One shard of clips from bytes to rows: read, decode, variants, features and write in one step, on one worker.

Reading, computing and writing are one stage on purpose: nothing but counts travels between Ray workers, and no second
stage can wait for a core that the first one holds.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.backends import LogMelBackend, create_backend
from pipelines.decoding.decode import Undecodable, Waveform, cut_windows, decode
from pipelines.effects import apply_variant
from pipelines.feature_spec import FeatureSpec
from pipelines.files.clip_file import open_clip
from pipelines.files.recordings import Recordings
from pipelines.iq.examples import IqFiles, read_iq
from pipelines.iq.uri import check_signals
from pipelines.manifest import Clip
from pipelines.shards.request import EarlierPart, ShardRequest
from pipelines.variants import ORIGINAL, Variant, parse_variant, variant_generator
from storage.errors import InvalidInput, ObjectNotFound, StorageError
from storage.feature_store import QUARANTINE_SCHEMA, FeatureStore, Shard, Where, feature_schema

Decode = Callable[[BinaryIO, Clip, FeatureSpec], Waveform]

# Backends are called with at least this many windows, where there are so many: a GPU wants a full batch, and
# DALI computes full ones in any case. More would only hold more memory.
_WINDOWS_PER_CALL = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class _DecodedClip:
    """A clip on its way to the backend: the windows of each of its variants, the original first.

    Attributes:
        provenance: what the file had.
        windows: variant → float32, or complex64 of IQ samples, (windows, window_samples).
    """

    clip: Clip
    provenance: Mapping[str, Any]
    windows: Mapping[str, NDArray[Any]]


@dataclass(kw_only=True, slots=True)
class _Rows:
    """What a shard has so far, by clip id: feature rows without their log-mels, the log-mels, and reasons."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    log_mels: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    reasons: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        return sum(map(len, self.rows.values()))

    def keep(self, clip_id: str, rows: Sequence[dict[str, Any]], log_mel: NDArray[Any]) -> None:
        self.rows.setdefault(clip_id, []).extend(rows)
        self.log_mels.setdefault(clip_id, []).append(log_mel)

    def refuse(self, clip: Clip, variant: str, error: Undecodable) -> None:
        reason = {"clip_id": clip.clip_id, "variant": variant, "uri": clip.uri}
        self.reasons.setdefault(clip.clip_id, []).append({**reason, "reason": error.reason, "detail": error.detail})

    def quarantine(self, clips: Sequence[Clip]) -> list[dict[str, str]]:
        """In the order of the clips, however they were batched."""
        return [reason for clip in clips for reason in self.reasons.get(clip.clip_id, [])]


class ShardWorker:
    """Computes shards with one backend; lives in a process of its own (`isolated_worker.py`), or in a test.

    A clip that cannot be read or decoded becomes a quarantine row and takes none of its neighbours with it; so does a
    variant that its clip cannot take (one too short to stretch), and the original stays. A storage error is not the
    clip's fault and ends the job: nothing has been committed then, and a rerun goes on.
    """

    def __init__(
        self, spec: FeatureSpec, features: FeatureStore, *, backend: str, device: str = "cpu", decode: Decode = decode
    ) -> None:
        self._spec, self._features, self._decode = spec, features, decode
        self._copies = tuple(parse_variant(text) for text in spec.variants if text != ORIGINAL)
        self._backend: LogMelBackend = create_backend(backend, spec, device=device)

    def compute(
        self,
        request: ShardRequest,
        *,
        refused: Mapping[str, Undecodable] = MappingProxyType({}),
        on_clip: Callable[[str | None], None] = lambda clip_id: None,
    ) -> Shard:
        """Computes and stores one shard.

        Args:
            refused: clips that are not tried, by clip id: each is quarantined for the reason given.
            on_clip: hears the id of a clip before it is decoded, and None once its windows are there.

        Raises:
            InvalidInput: clips that the spec's representation is not for.
            StorageError: something is at fault that is not a clip.
        """
        check_signals(request.clips, self._spec)
        found = _Rows()
        for part in request.earlier:
            self._copy(part, found)
        for batch in _batches(self._decoded(request, refused, on_clip, found)):
            self._transform(batch, found)
        quarantine = found.quarantine(request.clips)
        num_quarantined = sum(reason["variant"] == ORIGINAL for reason in quarantine)
        shard = Shard(
            index=request.index,
            clips_hash=request.clips_hash,
            num_clips=len(request.clips),
            num_rows=found.num_rows,
            num_quarantined=num_quarantined,
            num_variants_quarantined=len(quarantine) - num_quarantined,
        )
        self._features.write_shard(
            shard, self._table(request.clips, found), pa.Table.from_pylist(quarantine, schema=QUARANTINE_SCHEMA)
        )
        return shard

    def _copy(self, part: EarlierPart, found: _Rows) -> None:
        """Rows of unchanged clips; one that lacks a variant, or whose part is gone by now, is computed."""
        earlier = FeatureStore(self._features.store, dataset=part.dataset, fingerprint=self._features.fingerprint)
        try:
            table = earlier.read_shard(part.index, part.clips_hash, where=Where(clip_ids=part.clip_ids))
        except ObjectNotFound:
            return
        by_clip: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for position, row in enumerate(table.drop_columns("log_mel").to_pylist()):
            by_clip.setdefault(row["clip_id"], []).append((position, row))
        log_mel = table.column("log_mel").combine_chunks().to_numpy_ndarray() if table.num_rows else None
        for clip_id, numbered in by_clip.items():
            if log_mel is not None and {row["variant"] for _, row in numbered} == set(self._spec.variants):
                found.keep(clip_id, [row for _, row in numbered], log_mel[[position for position, _ in numbered]])

    def _decoded(
        self,
        request: ShardRequest,
        refused: Mapping[str, Undecodable],
        on_clip: Callable[[str | None], None],
        found: _Rows,
    ) -> Iterator[_DecodedClip]:
        """The clips that can be decoded; the others are refused in `found`."""
        for clip in request.clips:
            if clip.clip_id in found.rows:  # copied
                continue
            try:
                if clip.clip_id in refused:
                    raise refused[clip.clip_id]
                waveform = self._waveform(request, clip, on_clip)
                windows = self._windows(waveform, clip, found)
            except Undecodable as e:
                found.refuse(clip, ORIGINAL, e)
                continue
            finally:
                on_clip(None)
            yield _DecodedClip(clip=clip, provenance=self._provenance(clip, waveform), windows=windows)

    def _waveform(self, request: ShardRequest, clip: Clip, on_clip: Callable[[str | None], None]) -> Waveform:
        """Reads and decodes one clip; opening its file, which may wait for a server, comes before `on_clip`."""
        if self._spec.is_iq:
            examples = _iq_files(request.root, request.endpoint_url).examples_of(clip)
            on_clip(clip.clip_id)
            with _own_faults_told():
                return read_iq(examples, clip, self._spec)
        with open_clip(_recordings(request.root, request.endpoint_url), clip) as source:
            on_clip(clip.clip_id)
            with _own_faults_told():
                return self._decode(source, clip, self._spec)

    def _windows(self, waveform: Waveform, clip: Clip, found: _Rows) -> dict[str, NDArray[Any]]:
        """Windows by variant, the original first; a variant that the clip cannot take is refused in `found`."""
        windows = {ORIGINAL: cut_windows(waveform, self._spec, clip.clip_id)}
        for variant in self._copies:
            try:
                with _own_faults_told():
                    changed = self._changed(waveform, clip, variant)
                    windows[str(variant)] = cut_windows(changed, self._spec, clip.clip_id)
            except Undecodable as e:
                found.refuse(clip, str(variant), e)
        return windows

    def _changed(self, waveform: Waveform, clip: Clip, variant: Variant) -> Waveform:
        generator = variant_generator(self._spec.variant_seed, clip.clip_id, variant)
        samples = apply_variant(variant, waveform.samples, waveform.sample_rate_hz, generator)
        return dataclasses.replace(waveform, samples=samples)

    def _transform(self, batch: Sequence[_DecodedClip], found: _Rows) -> None:
        """Log-mels of all windows of a batch in one call, given back to their clips."""
        log_mels = self._backend.log_mel(np.concatenate([w for decoded in batch for w in decoded.windows.values()]))
        position = 0
        for decoded in batch:
            by_variant = {}
            for variant, windows in decoded.windows.items():
                by_variant[variant] = log_mels[position : position + len(windows)]
                position += len(windows)
            self._keep(decoded, by_variant, found)

    def _keep(self, decoded: _DecodedClip, by_variant: Mapping[str, NDArray[np.float32]], found: _Rows) -> None:
        for variant, log_mel in by_variant.items():
            if not np.isfinite(log_mel).all():  # finite samples around 1e25 overflow the power
                found.refuse(decoded.clip, variant, Undecodable("not_finite", "the feature holds NaN or infinity"))
                if variant == ORIGINAL:
                    return  # nor any variants, as none could be compared with it
                continue
            scale = self._spec.scale
            stored = scale.encode(log_mel) if scale else log_mel.astype(self._spec.dtype)
            rows = [self._row(decoded, variant, window) for window in range(len(log_mel))]
            found.keep(decoded.clip.clip_id, rows, stored)

    def _provenance(self, clip: Clip, waveform: Waveform) -> dict[str, Any]:
        return {
            "backend": self._backend.name,
            "num_channels": waveform.num_channels,
            "pcm_hash": waveform.pcm_hash,
            "sample_rate_hz": waveform.source_rate_hz,
            "uri": clip.uri,
        }

    def _row(self, decoded: _DecodedClip, variant: str, window: int) -> dict[str, Any]:
        clip, provenance = decoded.clip, dict(decoded.provenance)
        if variant != ORIGINAL:
            provenance["variant_seed"] = self._spec.variant_seed
        return {
            "clip_id": clip.clip_id,
            "recording_id": clip.recording_id,
            "group": clip.group,
            "variant": variant,
            "window": window,
            "labels": list(clip.labels),
            "fold": clip.fold,
            "provenance": json.dumps(provenance, sort_keys=True),
        }

    def _table(self, clips: Sequence[Clip], found: _Rows) -> pa.Table:
        spec = self._spec
        schema = feature_schema(spec.feature_shape, spec.dtype, scale=spec.scale)
        if not found.num_rows:
            return schema.empty_table()
        rows = [row for clip in clips for row in found.rows.get(clip.clip_id, ())]
        columns = {
            name: pa.array([row[name] for row in rows], type=schema.field(name).type)
            for name in schema.names
            if name != "log_mel"
        }
        log_mels = [log_mel for clip in clips for log_mel in found.log_mels.get(clip.clip_id, ())]
        columns["log_mel"] = pa.FixedShapeTensorArray.from_numpy_ndarray(np.concatenate(log_mels))
        return pa.table([columns[name] for name in schema.names], schema=schema)


@contextlib.contextmanager
def _own_faults_told() -> Iterator[None]:
    """Around what meets one file: a bug of ours or of a library becomes that file's reason, and the night goes on."""
    try:
        yield
    except (Undecodable, InvalidInput, StorageError):
        raise
    except Exception as e:
        raise Undecodable("internal_error", f"{type(e).__name__}: {' '.join(str(e).split())}") from e


def _batches(decoded: Iterator[_DecodedClip]) -> Iterator[list[_DecodedClip]]:
    batch: list[_DecodedClip] = []
    num_windows = 0
    for clip in decoded:
        batch.append(clip)
        num_windows += sum(map(len, clip.windows.values()))
        if num_windows >= _WINDOWS_PER_CALL:
            yield batch
            batch, num_windows = [], 0
    if batch:
        yield batch


@functools.cache
def _recordings(root: str, endpoint_url: str | None) -> Recordings:
    return Recordings(root, endpoint_url=endpoint_url)  # one for all shards of a worker: it keeps its connections


@functools.cache
def _iq_files(root: str, endpoint_url: str | None) -> IqFiles:
    return IqFiles(_recordings(root, endpoint_url))
