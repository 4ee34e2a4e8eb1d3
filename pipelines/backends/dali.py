"""Log-mel with NVIDIA DALI, on its CPU operators or on a GPU. The only file that imports nvidia.dali.

Enters: windows, or clips as they were decoded. Leaves: log-mels. Of windows DALI makes the mel bands, and decibels are
made by the same function as on the CPU backend. Of decoded clips everything is made on the device: windows by
device_resampling.py, mel bands and decibels by DALI.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import backend, fn, math, pipeline_def, types

from pipelines.backends.decibels import power_to_db
from pipelines.backends.tapers import hann
from pipelines.decoding.pcm import Pcm
from pipelines.feature_spec import FeatureSpec
from storage.errors import InvalidInput

_BATCH_SIZE = 32
_PCM_BATCH_SIZE = {"cpu": 8, "cuda": 64}
_OPERATOR_DEVICES = {"cpu": "cpu", "cuda": "gpu"}


class DaliBackend:
    """`LogMelBackend` and `PcmBackend` on DALI's operators.

    `tolerance_db` holds with room on the CPU operators: the mean difference to librosa was 0.000005 dB over ESC-10
    and at most 0.002 dB on the contract's signals, there without a floor (2026-11, DALI 2.4). The GPU operators are
    held to the same tolerance by the tests marked `gpu`.

    DALI's own resampler is a windowed sinc and no libsoxr: over ESC-10 its best quality is 0.30 dB off on average and
    3.9 dB in the worst of 64 bands (0.36 and 10.4 of 128; 2026-11-21). So clips are resampled by device_resampling.py,
    and torch's tensors handed to DALI on the device. Such clips differ from the backend `cpu` by 6.8e-6 dB on average
    over ESC-10, in the worst band by 1.0e-5; windows by 4.6e-6.

    Args:
        device: `cpu` (one thread), or `cuda` for the process's first CUDA device.

    Raises:
        InvalidInput: a device that is unknown or missing here.
    """

    name = "dali"
    tolerance_db = 0.05

    def __init__(self, spec: FeatureSpec, *, device: str = "cpu") -> None:
        _check_device(device)
        self._spec, self._device = spec, device

    def log_mel(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        spec = self._spec
        log_mels = np.empty((len(windows), spec.num_mels, spec.num_frames), dtype=np.float32)
        for start in range(0, len(windows), _BATCH_SIZE):
            batch = windows[start : start + _BATCH_SIZE]
            for row, mel in enumerate(self._mels(batch), start=start):
                # Not DALI's to_decibels: it has no amin, so that a silent window gets -cutoff instead of 0 dB, and its
                # cutoff counts from the reference, top_db from the window's maximum (to_decibels_cpu.cc, DALI 2.4).
                log_mels[row] = power_to_db(mel, spec)
        return log_mels

    def takes(self, pcm: Pcm) -> bool:
        return bool(self._resampler.takes(pcm))

    def log_mel_of_pcm(self, clips: Sequence[Pcm], starts: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        shape = (self._spec.num_mels, self._spec.num_frames)
        log_mels = [np.empty((len(firsts), *shape), dtype=np.float32) for firsts in starts]
        for places, windows_BN in self._resampler.batches(clips, starts):
            computed = self._log_mels_on_device(windows_BN)
            for place, log_mel in zip(places, computed, strict=True):
                log_mels[place.clip][place.window] = log_mel
        return log_mels

    def _mels(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mel bands of at most _BATCH_SIZE windows."""
        # Always a full batch: with one shape there is one FFT plan, so the rounding cannot follow the batch's size.
        padded = np.zeros((_BATCH_SIZE, self._spec.window_samples), dtype=np.float32)
        padded[: len(batch)] = batch
        self._of_windows.feed_input("windows", padded)
        (mels,) = self._of_windows.run()
        return np.asarray(mels.as_cpu().as_array()[: len(batch)])

    def _log_mels_on_device(self, windows_BN: Any) -> NDArray[np.float32]:
        """Log-mels of at most a batch of windows that lie on the device, a torch tensor."""
        padded = windows_BN.new_zeros((_PCM_BATCH_SIZE[self._device], windows_BN.shape[1]))  # full, as above
        padded[: len(windows_BN)] = windows_BN
        # DALI copies on the stream on which torch makes them. Of a tensor on the CPU it would ask for that stream, too.
        self._of_pcm.feed_input("windows", padded if padded.is_cuda else padded.numpy())
        (log_mels,) = self._of_pcm.run()
        return np.asarray(log_mels.as_cpu().as_array()[: len(windows_BN)])

    # A worker goes one way or the other, so each is prepared when it is first gone.

    @functools.cached_property
    def _of_windows(self) -> Any:
        return _build(self._spec, self._device, _BATCH_SIZE)

    @functools.cached_property
    def _of_pcm(self) -> Any:
        return _build(self._spec, self._device, _PCM_BATCH_SIZE[self._device], windows_on_device=True, in_db=True)

    @functools.cached_property
    def _resampler(self) -> Any:
        import torch  # seconds to import; the way of windows does without

        from pipelines.backends.device_resampling import DeviceResampler

        most_windows = _PCM_BATCH_SIZE[self._device]
        return DeviceResampler(self._spec, torch.device(self._device), most_windows=most_windows)


def _build(
    spec: FeatureSpec, device: str, batch_size: int, *, windows_on_device: bool = False, in_db: bool = False
) -> Any:
    operator_device = _OPERATOR_DEVICES[device]

    # Lock-step execution: a batch goes in and comes out within one call, so there is nothing to prefetch.
    @pipeline_def(
        batch_size=batch_size,
        num_threads=1,
        device_id=0 if operator_device == "gpu" else None,
        prefetch_queue_depth=1,
        exec_async=False,
        exec_pipelined=False,
    )
    def mel_pipeline() -> Any:
        source_device = operator_device if windows_on_device else "cpu"
        windows = fn.external_source(name="windows", device=source_device, dtype=types.FLOAT, ndim=1)
        mels = _mel_bands(windows.gpu() if source_device != operator_device else windows, spec)
        return _decibels(mels, spec) if in_db else mels

    pipeline = mel_pipeline()
    pipeline.build()
    return pipeline


def _mel_bands(windows: Any, spec: FeatureSpec) -> Any:
    power_spectrogram = fn.spectrogram(
        windows,
        nfft=spec.n_fft,
        window_length=spec.n_fft,
        window_step=spec.hop_samples,
        # DALI's own Hann window is shifted by half a sample against scipy's and librosa's periodic one.
        window_fn=hann(spec.n_fft).tolist(),
        power=int(spec.power),
        center_windows=True,
        reflect_padding=False,
    )
    return fn.mel_filter_bank(
        power_spectrogram,
        sample_rate=float(spec.sample_rate_hz),
        nfilter=spec.num_mels,
        mel_formula=spec.mel_scale,
        normalize=spec.mel_norm == "slaney",
        freq_low=spec.f_min_hz,
        freq_high=spec.f_max_resolved_hz,
    )


def _decibels(mels: Any, spec: FeatureSpec) -> Any:
    """`decibels.power_to_db` in DALI's arithmetic; 2e-5 dB off at most (2026-11-21)."""
    log_mels = _ten_log10(mels, spec)
    if spec.db_reference == "max":
        log_mels = log_mels - _ten_log10(_largest(mels), spec)
    else:
        log_mels = log_mels - np.float32(10.0 * np.log10(max(float(spec.db_reference), spec.amin)))
    if spec.top_db is None:
        return log_mels
    return math.max(log_mels, _largest(log_mels) - np.float32(spec.top_db))


def _ten_log10(power: Any, spec: FeatureSpec) -> Any:
    return math.log10(math.max(power, np.float32(spec.amin))) * np.float32(10.0)


def _largest(values: Any) -> Any:
    return fn.reductions.max(values, axes=[0, 1], keep_dims=True)


def _check_device(device: str) -> None:
    if device not in _OPERATOR_DEVICES:
        raise InvalidInput(
            "pipeline.device", given=device, allowed=", ".join(_OPERATOR_DEVICES), remedy="Choose one of these."
        )
    if device == "cuda" and backend.GetCUDADeviceCount() == 0:  # type: ignore[attr-defined]
        raise InvalidInput(
            "pipeline.device",
            given=device,
            allowed="cpu, as this process sees no CUDA device",
            remedy="Set pipeline.device to cpu, or check nvidia-smi and CUDA_VISIBLE_DEVICES.",
        )
