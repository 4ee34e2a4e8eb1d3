"""Work that takes time and no core, so that one machine can stand for many: what is left is what the driver does."""

import time
from typing import BinaryIO

import numpy as np

from pipelines.decoding.decode import Waveform
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip

CLIP_S = 0.4
SPEC = FeatureSpec(sample_rate_hz=1000, window_s=0.1, n_fft=64, hop_samples=50, num_mels=4, f_max_hz=500)


def sleeping_decode(source: BinaryIO, clip: Clip, spec: FeatureSpec, *, for_s: float = CLIP_S) -> Waveform:
    """A tenth of a second of sound, after as long as a clip takes here."""
    time.sleep(for_s)
    num_samples = spec.window_samples
    samples = np.sin(np.arange(num_samples, dtype=np.float32))
    rate_hz = spec.sample_rate_hz
    return Waveform(samples=samples, sample_rate_hz=rate_hz, source_rate_hz=rate_hz, num_channels=1, pcm_hash="0" * 32)
