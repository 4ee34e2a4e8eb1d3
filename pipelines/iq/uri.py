"""How a clip of IQ samples is addressed: one file holds many examples, so the uri names the file and the example in it.

`RML2016.10a_dict.pkl#QPSK/10/17` is example 17 of QPSK at 10 dB, `GOLD_XYZ_OSC.0001_1024.hdf5#17` row 17. Enters: uris
and clips of a manifest. Leaves: their parts, or a refusal where clips and spec do not fit.
"""

import re
from collections.abc import Iterable

from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip
from storage.errors import InvalidInput

PICKLES, HDF5S = frozenset({"pkl"}), frozenset({"h5", "hdf5"})

# Strict, as a # may stand in the name of any recording: no audio file ends in .pkl#17.
_URI = re.compile(r"(?P<file>.+\.(?:pkl|h5|hdf5))#(?P<example>(?:[\w+-]+/-?\d+/)?\d+)", re.DOTALL)


def file_of(uri: str) -> str:
    """The file that a clip lies in: the uri itself, unless it names an example."""
    match = _URI.fullmatch(uri)
    return match["file"] if match else uri


def example_of(uri: str) -> str:
    """What an IQ uri says behind the file: `QPSK/10/17` or `17`; empty for every other uri."""
    match = _URI.fullmatch(uri)
    return match["example"] if match else ""


def check_signals(clips: Iterable[Clip], spec: FeatureSpec) -> None:
    """Holds that IQ specs meet IQ samples, and all others sound.

    Raises:
        InvalidInput: with the first clip of the other kind.
    """
    for clip in clips:
        if bool(example_of(clip.uri)) != spec.is_iq:
            kind, allowed = ("sound", "log_mel or kaldi_fbank") if spec.is_iq else ("IQ", "iq_magnitude or iq_channels")
            raise InvalidInput(
                "features.representation",
                given=spec.representation,
                allowed=f"{allowed} for {kind} samples as {clip.uri!r}",
                remedy="Choose one of these, or the preset of this data set.",
            )
