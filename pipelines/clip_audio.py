"""A clip's audio as it was recorded, for looks and checks: mono, at the file's own rate.

Enters: a clip and the root of its data set. Leaves: a `Waveform`. The only file of the audits that knows how recordings
are opened and decoded.
"""

import dataclasses

from pipelines.decode import Waveform, decode
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip
from pipelines.shard_task import read_encoded

# Most corpora have this rate, and then nothing is resampled. No file is too short to be looked at.
_LIKELY = FeatureSpec(sample_rate_hz=44_100, min_duration_s=0.0)


def read_audio(root: str, clip: Clip) -> Waveform:
    """Reads and decodes one clip without resampling it.

    Args:
        root: what a relative uri is relative to: a folder or s3://bucket/prefix.

    Raises:
        Undecodable: the clip's file is missing, unreadable or no sound audio.
        StorageError: the store of the recordings is at fault.
    """
    encoded = read_encoded(root, clip)
    waveform = decode(encoded, clip, _LIKELY)
    if waveform.source_rate_hz == waveform.sample_rate_hz:
        return waveform
    return decode(encoded, clip, dataclasses.replace(_LIKELY, sample_rate_hz=waveform.source_rate_hz))
