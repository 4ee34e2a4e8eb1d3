"""The columns of the tables in a folder of features: rows, quarantine, and the clips that may be copied."""

from collections.abc import Sequence

import pyarrow as pa

from storage.affine_scale import AffineScale

QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),  # `original`: the clip has no rows, of no variant
        pa.field("uri", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)

# One row per clip all of whose rows a later version of the data set may copy.
CLIPS_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("clip_hash", pa.string(), nullable=False),  # of all that the manifest says of the clip
        pa.field("shard", pa.int32(), nullable=False),
    ]
)


def feature_schema(shape: Sequence[int], dtype: str, *, scale: AffineScale | None = None) -> pa.Schema:
    """Columns of a feature row.

    `log_mel` is an Arrow fixed-shape tensor of `shape`: (num_mels, num_frames) in dB, or whatever the spec's
    representation makes, (2, bins, frames) too; readers without that extension type see a fixed-size list. `provenance`
    is JSON: what the file had and who computed the row.

    Args:
        dtype: `float16`, `float32` or `uint8`.
        scale: what the numbers of `uint8` stand for; the metadata of the field keep it.
    """
    value_type = {"float16": pa.float16(), "float32": pa.float32(), "uint8": pa.uint8()}[dtype]
    metadata = scale.to_metadata() if scale else None
    return pa.schema(
        [
            pa.field("clip_id", pa.string(), nullable=False),
            pa.field("recording_id", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
            pa.field("variant", pa.string(), nullable=False),
            pa.field("window", pa.int32(), nullable=False),
            pa.field("labels", pa.list_(pa.string()), nullable=False),
            pa.field("fold", pa.int32()),
            pa.field("log_mel", pa.fixed_shape_tensor(value_type, tuple(shape)), False, metadata),
            pa.field("provenance", pa.string(), nullable=False),
        ]
    )


# Readers choose among these, whatever the shape and the type.
FEATURE_COLUMNS = tuple(feature_schema((1, 1), "float16").names)
KEY_COLUMNS = ("clip_id", "group", "variant", "window", "labels")
