"""Log-mel with torchaudio's transforms and Kaldi's fbank with its compliance module, on the CPU or on a CUDA device.

The only file of this room that imports torchaudio. Enters: windows, or clips as they were decoded. Leaves: features.
Everything after the upload happens on the device; one download brings a batch back.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torchaudio
import torchaudio.compliance.kaldi
from numpy.typing import NDArray

from pipelines.backends.device_resampling import DeviceResampler
from pipelines.backends.mel_filters import mel_filters
from pipelines.decoding.pcm import Pcm
from pipelines.feature_spec import FeatureSpec
from storage.errors import InvalidInput

_BATCH_SIZE = {"cpu": 4, "cuda": 256}  # on a CPU larger batches leave the cache (2026-11)


class TorchBackend:
    """`LogMelBackend` and `PcmBackend` on torch.

    Clips taken as they were decoded differ from the backend `cpu` by 4.5e-6 dB on average over ESC-10, in the worst
    band by 8.6e-6; windows by 2.4e-6 (on the CPU, 2026-11-21).

    Args:
        device: `cpu`, or `cuda` for the process's first CUDA device.

    Raises:
        InvalidInput: a device that is unknown or missing here.
    """

    name = "torch"
    tolerance_db = 0.05

    def __init__(self, spec: FeatureSpec, *, device: str = "cpu") -> None:
        _check_device(device)
        self._spec, self._device = spec, torch.device(device)
        self._compute = self._log_mels if spec.representation == "log_mel" else self._fbanks
        self._spectrogram = torchaudio.transforms.Spectrogram(
            n_fft=spec.n_fft, hop_length=spec.hop_samples, power=spec.power, center=True, pad_mode="constant"
        ).to(self._device)
        self._filters_MF = torch.from_numpy(mel_filters(spec)).to(self._device)
        self._resampler = DeviceResampler(spec, self._device, most_windows=_BATCH_SIZE[device])

    def log_mel(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        size = _BATCH_SIZE[self._device.type]
        features = np.empty((len(windows), *self._spec.feature_shape), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(windows), size):
                batch_BN = torch.from_numpy(windows[start : start + size]).to(self._device)
                features[start : start + size] = self._compute(batch_BN).cpu().numpy()
        return features

    def takes(self, pcm: Pcm) -> bool:
        return self._spec.representation == "log_mel" and self._resampler.takes(pcm)

    def log_mel_of_pcm(self, clips: Sequence[Pcm], starts: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        log_mels = [np.empty((len(firsts), *self._spec.feature_shape), dtype=np.float32) for firsts in starts]
        with torch.inference_mode():
            for places, windows_BN in self._resampler.batches(clips, starts):
                computed = self._log_mels(windows_BN).cpu().numpy()
                for place, log_mel in zip(places, computed, strict=True):
                    log_mels[place.clip][place.window] = log_mel
        return log_mels

    def _log_mels(self, windows_BN: torch.Tensor) -> torch.Tensor:
        return self._decibels(self._mels(windows_BN))

    def _mels(self, windows_BN: torch.Tensor) -> torch.Tensor:
        mels_BMT: torch.Tensor = self._filters_MF @ self._spectrogram(windows_BN)
        return mels_BMT

    def _decibels(self, mels_BMT: torch.Tensor) -> torch.Tensor:
        # Not torchaudio's AmplitudeToDB: its reference is one number for all windows, not each window's maximum.
        spec = self._spec
        if spec.db_reference == "max":
            reference = mels_BMT.amax(dim=(1, 2), keepdim=True)
        else:
            reference = torch.tensor(spec.db_reference, device=self._device)
        decibels = 10.0 * torch.log10(mels_BMT.clamp(min=spec.amin))
        decibels -= 10.0 * torch.log10(reference.clamp(min=spec.amin))
        if spec.top_db is None:
            return decibels
        return torch.maximum(decibels, decibels.amax(dim=(1, 2), keepdim=True) - spec.top_db)

    def _fbanks(self, windows_BN: torch.Tensor) -> torch.Tensor:
        return torch.stack([self._fbank(window_N) for window_N in windows_BN])

    def _fbank(self, window_N: torch.Tensor) -> torch.Tensor:
        # Lengths travel as milliseconds and are cut to whole samples there: half a sample more survives the rounding.
        spec, ms_per_sample = self._spec, 1000.0 / self._spec.sample_rate_hz
        fbank_TM = torchaudio.compliance.kaldi.fbank(
            window_N[None, :],
            sample_frequency=spec.sample_rate_hz,
            frame_length=(spec.frame_samples_resolved + 0.5) * ms_per_sample,
            frame_shift=(spec.hop_samples + 0.5) * ms_per_sample,
            round_to_power_of_two=spec.n_fft != spec.frame_samples_resolved,
            window_type={"hann": "hanning", "povey": "povey"}[spec.frame_taper],
            num_mel_bins=spec.num_mels,
            low_freq=spec.f_min_hz,
            high_freq=spec.f_max_resolved_hz,
            use_power=spec.power == 2.0,
            dither=0.0,
        )
        frames = fbank_TM.T
        num_missing = spec.num_frames - frames.shape[1]  # below zero: F.pad cuts
        return torch.nn.functional.pad(frames, (0, num_missing))


def _check_device(device: str) -> None:
    if device not in _BATCH_SIZE:
        raise InvalidInput(
            "pipeline.device", given=device, allowed=", ".join(_BATCH_SIZE), remedy="Choose one of these."
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidInput(
            "pipeline.device",
            given=device,
            allowed="cpu, as this process sees no CUDA device",
            remedy="Set pipeline.device to cpu, or check nvidia-smi and CUDA_VISIBLE_DEVICES.",
        )
