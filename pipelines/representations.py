"""What may be computed of a window, and which fields of a spec change nothing in it.

`FeatureSpec` says what each is and holds; a field named here is no part of the representation's fingerprint.
"""

from collections.abc import Mapping
from typing import Literal

Representation = Literal["log_mel", "kaldi_fbank", "iq_magnitude", "iq_channels"]

_OF_KALDI = {"frame_samples", "frame_taper", "fixed_frames"}
_OF_DECIBELS = {"power", "db_reference", "amin", "top_db"}
_OF_MELS = {"num_mels", "f_min_hz", "f_max_hz"}
_OF_LOG_MELS = {"mel_scale", "mel_norm"}
_OF_AUDIO = {"variants", "variant_seed", "resampler", "decoder"}

WITHOUT_EFFECT: Mapping[str, set[str]] = {
    "log_mel": {"representation", *_OF_KALDI},
    "kaldi_fbank": {*_OF_LOG_MELS, *_OF_DECIBELS} - {"power"},
    "iq_magnitude": {*_OF_KALDI, *_OF_MELS, *_OF_LOG_MELS, *_OF_AUDIO},
    "iq_channels": {*_OF_KALDI, *_OF_MELS, *_OF_LOG_MELS, *_OF_AUDIO, *_OF_DECIBELS},
}
