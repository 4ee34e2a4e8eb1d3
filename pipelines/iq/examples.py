"""IQ samples of one clip, as the workers read them: the file stays open from clip to clip, and a pickle is read once.

Enters: recordings and clips whose uri names a file and an example (uri.py). Leaves: a `Waveform` of complex samples,
`Undecodable`, or a `StorageError`.
"""

from typing import Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from pipelines.decoding.decode import Waveform
from pipelines.decoding.rules import Undecodable
from pipelines.feature_spec import FeatureSpec
from pipelines.files.clip_file import open_file
from pipelines.files.recordings import Recordings
from pipelines.iq.hdf5_file import IqHdf5
from pipelines.iq.pickle_file import load_iq_pickle
from pipelines.iq.uri import HDF5S, PICKLES, example_of, file_of
from pipelines.manifest import Clip

__all__ = ["IqExamples", "IqFiles", "read_iq"]

NUM_CHANNELS = 2  # I and Q


class IqExamples(Protocol):
    """An open file."""

    def read(self, example: str) -> NDArray[np.complex64]:
        """complex64 (samples,).

        Raises:
            LookupError, ValueError: there is no such example.
            OSError: the file is damaged there.
            StorageError: the file could not be read.
        """
        ...


class IqFiles:
    """The files below one root, of which the last one used stays open: a pickle of 2016.10A takes 225 MB of memory."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings
        self._open: tuple[str, IqExamples] | None = None

    def examples_of(self, clip: Clip) -> IqExamples:
        """The open file of a clip.

        Raises:
            Undecodable, StorageError: as `clip_file.open_clip`.
            InvalidInput: the file is not what the manifest was read from.
        """
        uri = file_of(clip.uri)
        if self._open is None or self._open[0] != uri:
            self._open = None  # two pickles would not have to fit into memory
            self._open = (uri, self._opened(uri, clip))
        return self._open[1]

    def _opened(self, uri: str, clip: Clip) -> IqExamples:
        file = open_file(self._recordings, clip, uri)
        if uri.rpartition(".")[2] in PICKLES:
            with file:
                return _PickledExamples(load_iq_pickle(file))
        assert uri.rpartition(".")[2] in HDF5S, uri
        return _Hdf5Examples(IqHdf5(file))


class _PickledExamples:
    def __init__(self, arrays: dict[tuple[str, int], NDArray[np.float32]]) -> None:
        self._arrays = arrays

    def read(self, example: str) -> NDArray[np.complex64]:
        modulation, snr_db, number = example.split("/")
        in_phase, quadrature = self._arrays[modulation, int(snr_db)][int(number)]
        return (in_phase + 1j * quadrature).astype(np.complex64, copy=False)


class _Hdf5Examples:
    def __init__(self, file: IqHdf5) -> None:
        self._file = file

    def read(self, example: str) -> NDArray[np.complex64]:
        return self._file.read(int(example))


def read_iq(examples: IqExamples, clip: Clip, spec: FeatureSpec) -> Waveform:
    """Reads one clip out of its open file. Nothing is resampled: the files tell no rate, the spec's is assumed.

    Raises:
        Undecodable: with the reasons no_samples (no such example), truncated, not_finite, too_short.
        StorageError: the file could not be read.
    """
    example = example_of(clip.uri)
    try:
        samples = examples.read(example)
    except (LookupError, ValueError) as e:
        raise Undecodable("no_samples", f"there is no example {example} in the file") from e
    except OSError as e:
        raise Undecodable("truncated", f"example {example} cannot be read: {' '.join(str(e).split())}") from e
    if not np.isfinite(samples).all():
        raise Undecodable("not_finite", "the samples hold NaN or infinity")
    duration_s = len(samples) / spec.sample_rate_hz
    if duration_s < spec.min_duration_s:
        raise Undecodable("too_short", f"{duration_s:g} s; features.min_duration_s is {spec.min_duration_s:g}")
    return Waveform(
        samples=samples,
        sample_rate_hz=spec.sample_rate_hz,
        source_rate_hz=None,
        num_channels=NUM_CHANNELS,
        pcm_hash=xxhash.xxh3_128_hexdigest(np.ascontiguousarray(samples).data),
    )
