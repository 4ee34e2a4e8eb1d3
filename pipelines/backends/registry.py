"""What a backend owes, and which there are."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipelines.decoding.pcm import Pcm
from pipelines.feature_spec import FeatureSpec
from storage.errors import InvalidInput, nearest

# What each backend computes. Log-mels of other powers than 1 and 2, and Kaldi frames in an FFT of another length than
# Kaldi would take, are refused below.
_REPRESENTATIONS = {
    "cpu": ("log_mel", "kaldi_fbank", "iq_magnitude", "iq_channels"),
    "dali": ("log_mel",),
    "torch": ("log_mel", "kaldi_fbank"),
}
_NAMES = tuple(_REPRESENTATIONS)


class LogMelBackend(Protocol):
    """Turns windows into log-mels, or into what else the spec's representation asks for.

    An implementer owes numbers within its stated tolerance of librosa (`tests/pipelines/backends/test_contract.py`; the
    other representations have references and tolerances of their own in test_representations.py beside it), results
    for a window that do not depend on the other windows of the call, and windows back in the order given.
    Instances are used by one thread and are not pickled: every worker makes its own.
    """

    name: str
    tolerance_db: float

    def log_mel(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        """Computes features.

        Args:
            windows: float32 (windows, window_samples) at the spec's sample rate; complex64 for IQ representations.

        Returns:
            float32 (windows, *feature_shape of the spec): log-mels (windows, num_mels, num_frames) in dB.
        """
        ...


@runtime_checkable
class PcmBackend(LogMelBackend, Protocol):
    """A backend that also takes clips as they were decoded, and downmixes and resamples them on its device.

    An implementer owes what the same windows give by way of the host (`decoding.decode.waveform_of`, `cut_windows`),
    within its tolerance and in the order given; a clip that does not depend on the others of the call; and the spec's
    own resampler. Log-mels only.
    """

    def takes(self, pcm: Pcm) -> bool:
        """Whether `log_mel_of_pcm` can do this clip; one that it cannot goes by way of the host."""
        ...

    def log_mel_of_pcm(self, clips: Sequence[Pcm], starts: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Computes log-mels of clips that it `takes`.

        Args:
            starts: of each clip, the first samples of its windows at the spec's rate (`FeatureSpec.window_starts` of
                `decoding.pcm.num_resampled`).

        Returns:
            of each clip, float32 (windows, num_mels, num_frames) in dB.
        """
        ...


def list_backends() -> tuple[str, ...]:
    return _NAMES


def backends_for(spec: FeatureSpec) -> tuple[str, ...]:
    """The names of the backends that can express `spec`; `cpu` can express every one."""
    return tuple(name for name in _NAMES if _obstacle(name, spec) is None)


def check_expressible(name: str, spec: FeatureSpec) -> None:
    """Refuses a backend that does not exist or cannot express `spec`, without loading it.

    Raises:
        InvalidInput: naming the backends that can.
    """
    if name not in _NAMES:
        remedy = f"{nearest(name, _NAMES)}Choose one of these."
        raise InvalidInput("pipeline.backend", given=name, allowed=", ".join(_NAMES), remedy=remedy)
    obstacle = _obstacle(name, spec)
    if obstacle is not None:
        field, allowed = obstacle
        raise InvalidInput(
            f"features.{field}",
            given=getattr(spec, field),
            allowed=f"{allowed} with the backend {name}",
            remedy=f"Set pipeline.backend to {' or '.join(backends_for(spec))}.",
        )


def _obstacle(name: str, spec: FeatureSpec) -> tuple[str, str] | None:
    """The first field that a backend cannot take as it is, and what it could."""
    known = _REPRESENTATIONS[name]
    if spec.representation not in known:
        return "representation", " or ".join(known)
    if name == "dali" and spec.power not in (1.0, 2.0):
        return "power", "1.0 or 2.0"
    if name == "torch" and spec.representation == "kaldi_fbank":
        if spec.num_mels < 4:
            return "num_mels", "4 or more"
        frame = spec.frame_samples_resolved
        lengths = sorted({frame, 1 << (frame - 1).bit_length()})  # all that torchaudio's function can be told
        if spec.n_fft not in lengths:
            return "n_fft", " or ".join(map(str, lengths))
    return None


def create_backend(name: str, spec: FeatureSpec, *, device: str = "cpu") -> LogMelBackend:
    """Makes the backend `name` for `spec`.

    Args:
        device: `cpu` or `cuda`; only backends that know a device look at it.

    Raises:
        InvalidInput: an unknown name, a spec that the backend cannot express, or a device that it cannot use here.
    """
    check_expressible(name, spec)
    if name == "cpu":
        from pipelines.backends.cpu import CpuBackend

        return CpuBackend(spec)
    if name == "dali":
        from pipelines.backends.dali import DaliBackend  # heavy, and optional where there is no x86-64 Linux

        return DaliBackend(spec, device=device)
    from pipelines.backends.torch import TorchBackend  # seconds to import; the other backends do without

    return TorchBackend(spec, device=device)
