"""What a shard has so far, and its table: rows in the order of the request's clips, however these were batched."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.decoding.rules import Undecodable
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip
from storage.feature_store import feature_schema


@dataclass(kw_only=True, slots=True)
class ShardRows:
    """By clip id: feature rows without their log-mels, the log-mels, and reasons."""

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

    def table(self, clips: Sequence[Clip], spec: FeatureSpec) -> pa.Table:
        """Of the feature store's schema."""
        schema = feature_schema(spec.feature_shape, spec.dtype, scale=spec.scale)
        if not self.num_rows:
            return schema.empty_table()
        rows = [row for clip in clips for row in self.rows.get(clip.clip_id, ())]
        columns = {
            name: pa.array([row[name] for row in rows], type=schema.field(name).type)
            for name in schema.names
            if name != "log_mel"
        }
        log_mels = [log_mel for clip in clips for log_mel in self.log_mels.get(clip.clip_id, ())]
        columns["log_mel"] = pa.FixedShapeTensorArray.from_numpy_ndarray(np.concatenate(log_mels))
        return pa.table([columns[name] for name in schema.names], schema=schema)
