"""One shard of clips from bytes to rows: read, decode, variants, features and write in one step, on one worker.

Reading, computing and writing are one stage on purpose: nothing but counts travels between Ray workers, and no second
stage can wait for a core that the first one holds.

Clips go to the backend by one of two ways: as windows that the host has resampled, or, on a GPU, as they were decoded.
"""

import contextlib
import dataclasses
import functools
import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.backends import LogMelBackend, PcmBackend, create_backend
from pipelines.decoding.decode import Waveform, cut_windows, decode, read_pcm, waveform_of, window_starts
from pipelines.decoding.pcm import Pcm, num_resampled
from pipelines.decoding.rules import Undecodable
from pipelines.effects import apply_variant
from pipelines.feature_spec import FeatureSpec
from pipelines.files.clip_file import open_clip
from pipelines.files.recordings import Recordings
from pipelines.iq.examples import IqFiles, read_iq
from pipelines.iq.uri import check_signals
from pipelines.manifest import Clip
from pipelines.shards.calls import DecodedClip, PcmClip, batches
from pipelines.shards.request import EarlierPart, ShardRequest
from pipelines.shards.rows import ShardRows
from pipelines.variants import ORIGINAL, Variant, parse_variant, variant_generator
from storage.errors import InvalidInput, StorageError
from storage.feature_store import QUARANTINE_SCHEMA, FeatureStore, Shard, Where

Decode = Callable[[BinaryIO, Clip, FeatureSpec], Waveform]
ReadPcm = Callable[[BinaryIO, Clip, FeatureSpec], Pcm]


class ShardWorker:
    """Computes shards with one backend; lives in a process of its own (`isolated_worker.py`), or in a test.

    A clip that cannot be read or decoded becomes a quarantine row and takes none of its neighbours with it; so does a
    variant that its clip cannot take (one too short to stretch), and the original stays. A storage error is not the
    clip's fault and ends the job: nothing has been committed then, and a rerun goes on.

    Args:
        decode, read: what decodes a clip, on its way by the host and on its way as decoded.
        as_decoded: whether clips go to the backend as they were decoded, where it and the spec know that way: log-mels
            of originals only. None for where it pays, with device=cuda. The rows are those of the host's way, within
            the backend's tolerance.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        features: FeatureStore,
        *,
        backend: str,
        device: str = "cpu",
        decode: Decode = decode,
        read: ReadPcm = read_pcm,
        as_decoded: bool | None = None,
    ) -> None:
        self._spec, self._features, self._decode, self._read = spec, features, decode, read
        self._copies = tuple(parse_variant(text) for text in spec.variants if text != ORIGINAL)
        self._backend: LogMelBackend = create_backend(backend, spec, device=device)
        wanted = device == "cuda" if as_decoded is None else as_decoded
        able = spec.representation == "log_mel" and not self._copies
        self._pcm_backend = self._backend if wanted and able and isinstance(self._backend, PcmBackend) else None
        if self._pcm_backend is not None:
            _warm_up(self._pcm_backend)

    def compute(
        self,
        request: ShardRequest,
        *,
        refused: Mapping[str, Undecodable] = MappingProxyType({}),
        on_clip: Callable[[str | None], None] = lambda clip_id: None,
    ) -> Shard:
        """Computes and stores one shard, unless another job has stored it meanwhile: then that one is returned.

        Args:
            refused: clips that are not tried, by clip id: each is quarantined for the reason given.
            on_clip: hears the id of a clip before it is decoded, and None once its windows are there.

        Raises:
            InvalidInput: clips that the spec's representation is not for.
            StorageError: something is at fault that is not a clip.
        """
        check_signals(request.clips, self._spec)
        found = ShardRows()
        for part in request.earlier:
            self._copy(part, found)
        for batch in batches(self._decoded(request, refused, on_clip, found)):
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
        rows, reasons = found.table(request.clips, self._spec), pa.Table.from_pylist(quarantine, QUARANTINE_SCHEMA)
        return self._features.write_shard(shard, rows, reasons)

    def _copy(self, part: EarlierPart, found: ShardRows) -> None:
        """Rows of unchanged clips; one that lacks a variant, or whose part is gone or damaged, is computed."""
        earlier = FeatureStore(self._features.store, dataset=part.dataset, fingerprint=self._features.fingerprint)
        try:
            table = earlier.read_shard(part.index, part.clips_hash, where=Where(clip_ids=part.clip_ids))
        except StorageError:  # gone or damaged; copying only saves work
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
        found: ShardRows,
    ) -> Iterator[DecodedClip | PcmClip]:
        """The clips that can be decoded; the others are refused in `found`."""
        for clip in request.clips:
            if clip.clip_id in found.rows:  # copied
                continue
            try:
                if clip.clip_id in refused:
                    raise refused[clip.clip_id]
                decoded = self._clip(request, clip, on_clip, found)
            except Undecodable as e:
                found.refuse(clip, ORIGINAL, e)
                continue
            finally:
                on_clip(None)
            yield decoded

    def _clip(
        self, request: ShardRequest, clip: Clip, on_clip: Callable[[str | None], None], found: ShardRows
    ) -> DecodedClip | PcmClip:
        """Reads and decodes one clip; opening its file, which may wait for a server, comes before `on_clip`."""
        if self._spec.is_iq:
            examples = _iq_files(request.root, request.endpoint_url).examples_of(clip)
            on_clip(clip.clip_id)
            with _own_faults_told():
                waveform = read_iq(examples, clip, self._spec)
            return self._with_windows(waveform, clip, found)
        with open_clip(_recordings(request.root, request.endpoint_url), clip) as source:
            on_clip(clip.clip_id)
            with _own_faults_told():
                if self._pcm_backend is None:
                    waveform = self._decode(source, clip, self._spec)
                else:
                    pcm = self._read(source, clip, self._spec)
                    if self._pcm_backend.takes(pcm):
                        return self._as_decoded(pcm, clip)
                    waveform = waveform_of(pcm, self._spec)
        return self._with_windows(waveform, clip, found)

    def _as_decoded(self, pcm: Pcm, clip: Clip) -> PcmClip:
        num_samples = num_resampled(len(pcm.samples_TC), pcm.sample_rate_hz, self._spec.sample_rate_hz)
        starts = window_starts(num_samples, self._spec, clip.clip_id)
        provenance = self._provenance(clip, pcm.sample_rate_hz, pcm.num_channels, pcm.hash())
        return PcmClip(clip=clip, provenance=provenance, pcm=pcm, starts=starts, num_samples={ORIGINAL: num_samples})

    def _with_windows(self, waveform: Waveform, clip: Clip, found: ShardRows) -> DecodedClip:
        """Windows by variant, the original first; a variant that the clip cannot take is refused in `found`."""
        windows = {ORIGINAL: cut_windows(waveform, self._spec, clip.clip_id)}
        num_samples = {ORIGINAL: len(waveform.samples)}
        for variant in self._copies:
            try:
                with _own_faults_told():
                    changed = self._changed(waveform, clip, variant)
                    windows[str(variant)] = cut_windows(changed, self._spec, clip.clip_id)
                    num_samples[str(variant)] = len(changed.samples)
            except Undecodable as e:
                found.refuse(clip, str(variant), e)
        provenance = self._provenance(clip, waveform.source_rate_hz, waveform.num_channels, waveform.pcm_hash)
        return DecodedClip(clip=clip, provenance=provenance, windows=windows, num_samples=num_samples)

    def _changed(self, waveform: Waveform, clip: Clip, variant: Variant) -> Waveform:
        generator = variant_generator(self._spec.variant_seed, clip.clip_id, variant)
        samples = apply_variant(variant, waveform.samples, waveform.sample_rate_hz, generator)
        return dataclasses.replace(waveform, samples=samples)

    def _transform(self, batch: Sequence[DecodedClip | PcmClip], found: ShardRows) -> None:
        """Log-mels of a batch in one call for each way, given back to their clips."""
        by_host = [decoded for decoded in batch if isinstance(decoded, DecodedClip)]
        as_decoded = [decoded for decoded in batch if isinstance(decoded, PcmClip)]
        if by_host:
            self._transform_windows(by_host, found)
        if as_decoded:
            assert self._pcm_backend is not None
            clips, starts = [each.pcm for each in as_decoded], [each.starts for each in as_decoded]
            log_mels = self._pcm_backend.log_mel_of_pcm(clips, starts)
            for each, log_mel in zip(as_decoded, log_mels, strict=True):
                self._keep(each, {ORIGINAL: log_mel}, found)

    def _transform_windows(self, batch: Sequence[DecodedClip], found: ShardRows) -> None:
        log_mels = self._backend.log_mel(np.concatenate([w for decoded in batch for w in decoded.windows.values()]))
        position = 0
        for decoded in batch:
            by_variant = {}
            for variant, windows in decoded.windows.items():
                by_variant[variant] = log_mels[position : position + len(windows)]
                position += len(windows)
            self._keep(decoded, by_variant, found)

    def _keep(
        self, decoded: DecodedClip | PcmClip, by_variant: Mapping[str, NDArray[np.float32]], found: ShardRows
    ) -> None:
        for variant, log_mel in by_variant.items():
            with np.errstate(over="ignore", invalid="ignore"):  # found out here
                stored = log_mel if self._spec.scale else log_mel.astype(self._spec.dtype)
            # Finite samples around 1e25 overflow the power, amplitudes of IQ samples above 65,504 float16.
            if not np.isfinite(stored).all():
                detail = f"the feature holds NaN or infinity, or what {stored.dtype} cannot hold"
                found.refuse(decoded.clip, variant, Undecodable("not_finite", detail))
                if variant == ORIGINAL:
                    return  # nor any variants, as none could be compared with it
                continue
            if self._spec.scale:
                stored = self._spec.scale.encode(log_mel)
            starts = window_starts(decoded.num_samples[variant], self._spec, decoded.clip.clip_id)
            rows = [self._row(decoded, variant, window, start) for window, start in enumerate(starts)]
            found.keep(decoded.clip.clip_id, rows, stored)

    def _provenance(self, clip: Clip, source_rate_hz: int | None, num_channels: int, pcm_hash: str) -> dict[str, Any]:
        return {
            "backend": self._backend.name,
            "num_channels": num_channels,
            "pcm_hash": pcm_hash,
            "sample_rate_hz": source_rate_hz,
            "uri": clip.uri,
        }

    def _row(self, decoded: DecodedClip | PcmClip, variant: str, window: int, start: int) -> dict[str, Any]:
        clip, provenance = decoded.clip, dict(decoded.provenance)
        # Where in the clip, at the spec's rate, and how much of it is sound: what is less than a window is padded.
        provenance["start_samples"] = start
        provenance["num_samples"] = min(self._spec.window_samples, decoded.num_samples[variant] - start)
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


def _warm_up(backend: PcmBackend) -> None:
    """Imports, a CUDA context and FFT plans take seconds, which must not count against the first clip's time limit."""
    click = Pcm(samples_TC=np.ones((1, 1), dtype=np.int16), sample_rate_hz=44_100)
    if backend.takes(click):
        backend.log_mel_of_pcm([click], [[0]])


@contextlib.contextmanager
def _own_faults_told() -> Iterator[None]:
    """Around what meets one file: a bug of ours or of a library becomes that file's reason, and the night goes on."""
    try:
        yield
    except (Undecodable, InvalidInput, StorageError):
        raise
    except ImportError as e:  # of every file, on this machine
        raise StorageError(f"{socket.gethostname()}: {e}. Install what is missing there and run again.") from e
    except MemoryError as e:
        raise Undecodable("out_of_memory", " ".join(str(e).split()) or "the clip needs more than there is") from e
    except Exception as e:
        raise Undecodable("internal_error", f"{type(e).__name__}: {' '.join(str(e).split())}") from e


@functools.cache
def _recordings(root: str, endpoint_url: str | None) -> Recordings:
    return Recordings(root, endpoint_url=endpoint_url)  # one for all shards of a worker: it keeps its connections


@functools.cache
def _iq_files(root: str, endpoint_url: str | None) -> IqFiles:
    return IqFiles(_recordings(root, endpoint_url))
