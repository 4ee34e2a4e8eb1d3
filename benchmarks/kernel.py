"""What each idea for a faster log-mel kernel gives, beside plain numpy: one core, contenders taking turns.

python benchmarks/kernel.py [--quick]

Enters the waveform of a 5-s clip at 44.1 kHz; leaves its log-mel (22.05 kHz, n_fft 2048, hop 512, 128 mels). Every
contender includes the resampling that it needs, and prints how far it lies from plain numpy with one window a call and
one product with the whole filter bank. What was adopted, and why, stands in docs/decisions.md.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft
import scipy.signal
import soxr
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipelines.backends import create_backend
from pipelines.backends.cpu import power_to_db
from pipelines.backends.mel_filters import mel_filters
from pipelines.feature_spec import FeatureSpec

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SPEC = FeatureSpec(hop_samples=512, num_mels=128)
SOURCE_RATE_HZ = 44_100
NUM_CLIPS = 32

Floats = NDArray[np.float32]
LogMels = Callable[[Floats], Floats]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 3 if parser.parse_args(argv).quick else 15
    torch.set_num_threads(1)
    clips = _clips()
    contenders: dict[str, LogMels] = {
        "plain numpy": _stacked(windows_per_call=1),
        "kept buffers, sparse mel": _backend(),
        "32 windows a call": _stacked(windows_per_call=NUM_CLIPS),
        "FFT by torch": _stacked(windows_per_call=1, rfft=_torch_rfft),
        "spectral decimation": _decimated(),
    }
    expected = contenders["plain numpy"](clips)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, log_mels in contenders.items():
            started = time.perf_counter()
            log_mels(clips)
            seconds[name].append(time.perf_counter() - started)
    print(f"{'':28s} {'ms a clip':>10s} {'× plain':>11s} {'mean |Δ| dB':>12s} {'of bands 0–125':>15s}")
    figures = {}
    for name, log_mels in contenders.items():
        ratio = statistics.median(a / b for a, b in zip(seconds["plain numpy"], seconds[name], strict=True))
        difference = np.abs(log_mels(clips) - expected)
        per_clip_ms = statistics.median(seconds[name]) / len(clips) * 1e3
        print(
            f"{name:28s} {per_clip_ms:10.2f} {ratio:11.2f} {difference.mean():12.5f} {difference[:, :126].mean():15.5f}"
        )
        figures[f"kernel.{name.replace(' ', '_').replace(',', '').lower()}"] = ratio
    for name, ratio in figures.items():
        print(f"figure {name} {ratio:.3f}")
    return 0


def _clips() -> Floats:
    """Pink-like noise with a moving tone, so that every band holds something."""
    rng = np.random.default_rng(0)
    at_s = np.arange(5 * SOURCE_RATE_HZ) / SOURCE_RATE_HZ
    noise = scipy.signal.lfilter([0.05], [1, -0.95], rng.standard_normal((NUM_CLIPS, len(at_s))))
    return (noise + 0.2 * np.sin(2 * np.pi * (300 * at_s + 400 * at_s**2))).astype(np.float32)


def _resampled(clip: Floats) -> Floats:
    return np.asarray(soxr.resample(clip, SOURCE_RATE_HZ, SPEC.sample_rate_hz, quality="HQ"))


def _backend() -> LogMels:
    """The backend `cpu` as it is."""
    backend = create_backend("cpu", SPEC)
    return lambda clips: backend.log_mel(np.stack([_resampled(clip) for clip in clips]))


def _scipy_rfft(frames: Floats) -> NDArray[np.complex64]:
    return np.asarray(scipy.fft.rfft(frames, axis=-1, overwrite_x=True))


def _torch_rfft(frames: Floats) -> NDArray[np.complex64]:
    return torch.fft.rfft(torch.from_numpy(frames)).numpy()


def _stacked(*, windows_per_call: int, rfft: Callable[[Floats], NDArray[np.complex64]] = _scipy_rfft) -> LogMels:
    """Plain numpy: frames of several windows in one FFT call, one product with the whole filter bank."""
    filters_FM = np.ascontiguousarray(mel_filters(SPEC).T)

    def log_mels(clips: Floats) -> Floats:
        found = []
        for start in range(0, len(clips), windows_per_call):
            waveforms = np.stack([_resampled(clip) for clip in clips[start : start + windows_per_call]])
            found.append(_log_mels(waveforms, SPEC, filters_FM, rfft))
        return np.concatenate(found)

    return log_mels


def _decimated() -> LogMels:
    """No resampling: twice the FFT length and hop at 44.1 kHz, and only the bins below 11.025 kHz."""
    spec = FeatureSpec(
        sample_rate_hz=SOURCE_RATE_HZ,
        n_fft=2 * SPEC.n_fft,
        hop_samples=2 * SPEC.hop_samples,
        num_mels=SPEC.num_mels,
        f_max_hz=SPEC.sample_rate_hz / 2,
    )
    # Frames twice as long hold four times the power, and the filters' area is per Hz.
    filters_FM = np.ascontiguousarray(mel_filters(spec).T)

    def log_mels(clips: Floats) -> Floats:
        return np.concatenate([_log_mels(clip[None], spec, filters_FM, _scipy_rfft) for clip in clips])

    return log_mels


def _log_mels(
    waveforms: Floats, spec: FeatureSpec, filters_FM: Floats, rfft: Callable[[Floats], NDArray[np.complex64]]
) -> Floats:
    hann = scipy.signal.get_window("hann", spec.n_fft, fftbins=True).astype(np.float32)
    padded = np.pad(waveforms, ((0, 0), (spec.n_fft // 2, spec.n_fft // 2)))
    frames = sliding_window_view(padded, spec.n_fft, axis=1)[:, :: spec.hop_samples] * hann
    spectrum = rfft(frames)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    mels = (power @ filters_FM).transpose(0, 2, 1)
    return np.stack([power_to_db(mel, SPEC) for mel in mels])


if __name__ == "__main__":
    if not ONE_THREAD.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    sys.exit(main())
