"""One shard of clips from bytes to rows: read, decode, log-mel and write in one step, on one worker.

Reading, computing and writing are one stage on purpose: nothing but counts travels between Ray workers, and no second
stage can wait for a core that the first one holds.
"""

import dataclasses
import functools
import json
import socket
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.backends import LogMelBackend, create_backend
from pipelines.decode import Undecodable, Waveform, cut_windows, decode
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip
from pipelines.recordings import Recordings
from storage.errors import ObjectNotFound, StorageError, UnreadableFile
from storage.feature_store import QUARANTINE_SCHEMA, FeatureStore, Shard, feature_schema


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardRequest:
    """A shard to compute: its place, the hash that names it, its clips and where their files lie."""

    index: int
    clips_hash: str
    root: str
    endpoint_url: str | None
    clips: tuple[Clip, ...]

    def to_json(self) -> str:
        """As a plain string, the one type that every Ray block format carries as it is."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ShardRequest":
        values = json.loads(text)
        clips = tuple(Clip(**{**clip, "labels": tuple(clip["labels"])}) for clip in values["clips"])
        return cls(**{**values, "clips": clips})


class ShardWorker:
    """Computes shards with one backend; lives in a Ray actor, or in a test.

    A clip that cannot be read or decoded becomes a quarantine row and takes none of its neighbours with it. A storage
    error is not the clip's fault and ends the job: nothing has been committed then, and a rerun goes on.
    """

    def __init__(self, spec: FeatureSpec, features: FeatureStore, *, backend: str, device: str = "cpu") -> None:
        self._spec, self._features = spec, features
        self._backend: LogMelBackend = create_backend(backend, spec, device=device)

    def compute(self, request: ShardRequest) -> Shard:
        """Computes and stores one shard."""
        rows: list[dict[str, Any]] = []
        log_mels: list[NDArray[np.float32]] = []
        quarantine: list[dict[str, str]] = []
        recordings = _recordings(request.root, request.endpoint_url)
        for clip in request.clips:
            try:
                waveform = decode(read_encoded(recordings, clip), clip, self._spec)
                log_mel = self._backend.log_mel(cut_windows(waveform, self._spec))
                if not np.isfinite(log_mel).all():  # finite samples around 1e25 overflow the power
                    raise Undecodable("not_finite", "the log-mel holds NaN or infinity")
            except Undecodable as e:
                quarantine.append({"clip_id": clip.clip_id, "uri": clip.uri, "reason": e.reason, "detail": e.detail})
                continue
            rows.extend(self._row(clip, waveform, window) for window in range(len(log_mel)))
            log_mels.append(log_mel)
        shard = Shard(
            index=request.index,
            clips_hash=request.clips_hash,
            num_clips=len(request.clips),
            num_rows=len(rows),
            num_quarantined=len(quarantine),
        )
        quarantine_table = pa.Table.from_pylist(quarantine, schema=QUARANTINE_SCHEMA)
        self._features.write_shard(shard, self._table(rows, log_mels), quarantine_table)
        return shard

    def _row(self, clip: Clip, waveform: Waveform, window: int) -> dict[str, Any]:
        provenance = {
            "backend": self._backend.name,
            "num_channels": waveform.num_channels,
            "pcm_sha256": waveform.pcm_sha256,
            "sample_rate_hz": waveform.source_rate_hz,
            "uri": clip.uri,
        }
        return {
            "clip_id": clip.clip_id,
            "recording_id": clip.recording_id,
            "group": clip.group,
            "variant": "original",
            "window": window,
            "labels": list(clip.labels),
            "fold": clip.fold,
            "provenance": json.dumps(provenance, sort_keys=True),
        }

    def _table(self, rows: list[dict[str, Any]], log_mels: list[NDArray[np.float32]]) -> pa.Table:
        spec = self._spec
        schema = feature_schema(spec.num_mels, spec.num_frames, spec.dtype)
        if not rows:
            return schema.empty_table()
        stacked = np.ascontiguousarray(np.concatenate(log_mels), dtype=spec.dtype)
        columns = {
            name: pa.array([row[name] for row in rows], type=schema.field(name).type)
            for name in schema.names
            if name != "log_mel"
        }
        columns["log_mel"] = pa.FixedShapeTensorArray.from_numpy_ndarray(stacked)
        return pa.table([columns[name] for name in schema.names], schema=schema)


def read_encoded(recordings: Recordings, clip: Clip) -> bytes:
    """The bytes of a clip's file, wherever it lies.

    Raises:
        Undecodable: with the reason missing_file or unreadable_file.
        StorageError: the fault is not the clip's: a server could not be reached or refused, or a file that the manifest
            saw is not there, or has another size, for this machine.
    """
    try:
        encoded = recordings.read(clip.uri)
    except ObjectNotFound as e:
        _refuse_if_seen(recordings, clip, "there is no such file", e)
        raise Undecodable("missing_file", "there is no such file") from e
    except UnreadableFile as e:
        _refuse_if_seen(recordings, clip, e.reason, e)
        raise Undecodable("unreadable_file", e.reason) from e
    if len(encoded) != clip.size_bytes:
        _refuse_if_seen(recordings, clip, f"it has {len(encoded)} bytes now, the manifest saw {clip.size_bytes}", None)
    return encoded


def _refuse_if_seen(recordings: Recordings, clip: Clip, what: str, cause: Exception | None) -> None:
    """A file that the manifest has seen and a worker cannot read must not become a permanent quarantine row."""
    if clip.size_bytes is not None:
        raise StorageError(
            f"{socket.gethostname()} cannot read {recordings.uri(clip.uri)} as the manifest saw it: {what}. Make the "
            "recordings readable on every node and run the same command again."
        ) from cause


@functools.cache
def _recordings(root: str, endpoint_url: str | None) -> Recordings:
    return Recordings(root, endpoint_url=endpoint_url)  # one for all shards of a worker: it keeps its connections
