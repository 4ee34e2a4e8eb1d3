"""Log-mel with NVIDIA DALI, on its CPU operators or on a GPU. The only file that imports nvidia.dali.

Enters: windows. Leaves: log-mels. DALI makes the mel bands; decibels are made by the same function as on the CPU
backend.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import backend, fn, pipeline_def, types

from pipelines.backends.decibels import power_to_db
from pipelines.backends.tapers import hann
from pipelines.feature_spec import FeatureSpec
from storage.errors import InvalidInput

_BATCH_SIZE = 32
_OPERATOR_DEVICES = {"cpu": "cpu", "cuda": "gpu"}


class DaliBackend:
    """`LogMelBackend` on DALI's operators.

    `tolerance_db` holds with room on the CPU operators: the mean difference to librosa was 0.000005 dB over ESC-10
    and at most 0.002 dB on the contract's signals, there without a floor (2026-11, DALI 2.4). The GPU operators are
    held to the same tolerance by the tests marked `gpu`.

    Args:
        device: `cpu` (one thread), or `cuda` for the process's first CUDA device.

    Raises:
        InvalidInput: a device that is unknown or missing here.
    """

    name = "dali"
    tolerance_db = 0.05

    def __init__(self, spec: FeatureSpec, *, device: str = "cpu") -> None:
        _check_device(device)
        self._spec = spec
        self._pipeline = _build(spec, _OPERATOR_DEVICES[device])

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

    def _mels(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mel bands of at most _BATCH_SIZE windows."""
        # Always a full batch: with one shape there is one FFT plan, so the rounding cannot follow the batch's size.
        padded = np.zeros((_BATCH_SIZE, self._spec.window_samples), dtype=np.float32)
        padded[: len(batch)] = batch
        self._pipeline.feed_input("windows", padded)
        (mels,) = self._pipeline.run()
        return np.asarray(mels.as_cpu().as_array()[: len(batch)])


def _build(spec: FeatureSpec, operator_device: str) -> Any:
    # Lock-step execution: a batch goes in and comes out within one call, so there is nothing to prefetch.
    @pipeline_def(
        batch_size=_BATCH_SIZE,
        num_threads=1,
        device_id=0 if operator_device == "gpu" else None,
        prefetch_queue_depth=1,
        exec_async=False,
        exec_pipelined=False,
    )
    def mel_pipeline() -> Any:
        windows = fn.external_source(name="windows", device="cpu", dtype=types.FLOAT, ndim=1)
        power_spectrogram = fn.spectrogram(
            windows.gpu() if operator_device == "gpu" else windows,
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

    pipeline = mel_pipeline()
    pipeline.build()
    return pipeline


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
