"""What backends owe beyond log-mels, held against torchaudio, transformers and scipy.

The tolerances follow from what was measured on these signals (2026-11-21, torchaudio 2.11, transformers 5.23, scipy
1.17; each test prints it) and lie below the spacing of float16 at such values.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import scipy.signal
import torch
import torchaudio.compliance.kaldi
from numpy.typing import NDArray
from spec_toys import KALDI
from transformers import ASTFeatureExtractor

from pipelines.backends import LogMelBackend, backends_for, create_backend
from pipelines.backends.mel_filters import kaldi_mel_filters
from pipelines.feature_spec import FeatureSpec
from storage.errors import InvalidInput

Floats = NDArray[np.float32]
MakeBackend = Callable[[FeatureSpec], LogMelBackend]

AST = dataclasses.replace(KALDI, fixed_frames=1024)
SHORT = dataclasses.replace(AST, window_s=1.0, fixed_frames=None)
KALDI_SPECS = {
    "kaldi's own": dataclasses.replace(SHORT, frame_taper="povey", num_mels=23),
    "hann": SHORT,
    "cut": dataclasses.replace(SHORT, fixed_frames=50),
    "padded": dataclasses.replace(SHORT, fixed_frames=120),
    "amplitude": dataclasses.replace(SHORT, power=1.0),
    "band-limited": dataclasses.replace(SHORT, f_min_hz=300.0, f_max_hz=6000.0, num_mels=40),
    "frames as long as the FFT": dataclasses.replace(SHORT, frame_samples=None, num_mels=40),
    "another rate": dataclasses.replace(SHORT, sample_rate_hz=22_050, frame_samples=551, n_fft=1024, hop_samples=220),
}
IQ = FeatureSpec(representation="iq_magnitude", sample_rate_hz=1_000_000, window_s=1024e-6, n_fft=128, hop_samples=16)
IQ_SPECS = {
    "magnitude": IQ,
    "absolute dB": dataclasses.replace(IQ, db_reference=1.0, top_db=None),
    "amplitude": dataclasses.replace(IQ, power=1.0, top_db=40.0),
    "channels": dataclasses.replace(IQ, representation="iq_channels"),
    "frames that do not divide the window": dataclasses.replace(IQ, n_fft=224, hop_samples=7, window_s=1000e-6),
    "a window shorter than the FFT": dataclasses.replace(IQ, n_fft=256, hop_samples=1, window_s=128e-6),
}
FBANK_TOLERANCE = 3e-3  # mean, natural logarithm; measured: 1.1e-3 for a chirp in amplitude, else 4e-4, noise 5e-6
IQ_TOLERANCE_DB = 1e-4  # mean; measured: at most 7.3e-6
IQ_TOLERANCE = 1e-6  # largest, of amplitudes up to 1; measured: 6e-8

BACKENDS = ("cpu", "torch")  # dali makes log-mels only


class TestKaldiFbank:
    @pytest.mark.parametrize("spec", KALDI_SPECS.values(), ids=KALDI_SPECS.keys())
    def test_every_signal_agrees_with_torchaudio(self, make_backend: MakeBackend, spec: FeatureSpec) -> None:
        signals = _signals(spec)
        fbanks = make_backend(spec).log_mel(np.stack(list(signals.values())))
        assert fbanks.shape == (len(signals), *spec.feature_shape)
        assert fbanks.dtype == np.float32
        for (name, signal), fbank in zip(signals.items(), fbanks, strict=True):
            difference = np.abs(fbank - _torchaudio_fbank(signal, spec))
            print(f"{name}: mean {difference.mean():.1e}, largest {difference.max():.1e}")
            assert difference.mean() <= FBANK_TOLERANCE, name

    @pytest.mark.parametrize("duration_s", [10.0, 12.0])
    def test_ast_gets_what_its_own_extractor_makes(self, make_backend: MakeBackend, duration_s: float) -> None:
        spec = dataclasses.replace(AST, window_s=duration_s)
        window = _signals(spec)["noise"]
        fbank = make_backend(spec).log_mel(window[None, :])[0]
        difference = np.abs(fbank.T - _ast(window, do_normalize=False))
        print(f"mean {difference.mean():.1e}, largest {difference.max():.1e}")
        assert fbank.T.shape == (1024, 128)
        assert difference.mean() <= FBANK_TOLERANCE

    def test_its_normalisation_is_the_paper_s_formula_over_ours(self, make_backend: MakeBackend) -> None:
        window = _signals(AST)["chirp"]
        fbank = make_backend(AST).log_mel(window[None, :])[0]
        mean, deviation = -4.2677393, 4.5689974  # of AudioSet, arXiv:2104.01778 and its code
        difference = np.abs((fbank.T - mean) / (2 * deviation) - _ast(window, do_normalize=True))
        assert difference.mean() <= FBANK_TOLERANCE / (2 * deviation)

    def test_a_window_does_not_depend_on_its_neighbours(self, make_backend: MakeBackend) -> None:
        backend = make_backend(SHORT)
        windows = np.stack(list(_signals(SHORT).values()) * 2)
        windows[1::2] *= 100.0
        together = backend.log_mel(windows)
        for row in range(len(windows)):
            alone = backend.log_mel(windows[row : row + 1])[0]
            if backend.name == "cpu":
                np.testing.assert_array_equal(alone, together[row])
            else:
                assert np.abs(alone - together[row]).mean() <= FBANK_TOLERANCE

    def test_no_windows_give_no_fbanks(self, make_backend: MakeBackend) -> None:
        none = np.zeros((0, SHORT.window_samples), dtype=np.float32)
        assert make_backend(SHORT).log_mel(none).shape == (0, 128, 98)

    @pytest.mark.parametrize("spec", KALDI_SPECS.values(), ids=KALDI_SPECS.keys())
    def test_the_filters_are_torchaudio_s(self, spec: FeatureSpec) -> None:
        banks, _ = torchaudio.compliance.kaldi.get_mel_banks(
            spec.num_mels, spec.n_fft, spec.sample_rate_hz, spec.f_min_hz, spec.f_max_resolved_hz, 100.0, -500.0, 1.0
        )
        filters = kaldi_mel_filters(spec)
        # torchaudio's own are made in float32: mels near 3,000, and triangles as narrow as 20.
        np.testing.assert_allclose(filters[:, :-1], banks.numpy(), atol=2e-4)
        assert not filters[:, -1].any()


class TestIq:
    @pytest.mark.parametrize("spec", IQ_SPECS.values(), ids=IQ_SPECS.keys())
    def test_every_signal_agrees_with_scipy(self, spec: FeatureSpec) -> None:
        signals = _iq_signals(spec)
        features = create_backend("cpu", spec).log_mel(np.stack(list(signals.values())))
        assert features.shape == (len(signals), *spec.feature_shape)
        assert features.dtype == np.float32
        for (name, signal), feature in zip(signals.items(), features, strict=True):
            difference = np.abs(feature - _scipy_feature(signal, spec))
            print(f"{name}: mean {difference.mean():.1e}, largest {difference.max():.1e}")
            if spec.representation == "iq_channels":
                assert difference.max() <= IQ_TOLERANCE, name
            else:
                assert difference.mean() <= IQ_TOLERANCE_DB, name

    def test_a_carrier_stands_at_its_frequency_with_its_level(self) -> None:
        spec = dataclasses.replace(IQ, db_reference=1.0)
        time_s = np.arange(spec.window_samples) / spec.sample_rate_hz
        for number, side in ((96, 1), (32, -1)):  # of 128 bins the middle one is 0 Hz
            carrier = np.exp(2j * np.pi * side * 250_000 * time_s).astype(np.complex64)
            frame = create_backend("cpu", spec).log_mel(carrier[None, :])[0][:, 32]
            assert frame.argmax() == number
            assert frame.max() == pytest.approx(0.0, abs=1e-3)

    def test_a_window_does_not_depend_on_its_neighbours(self) -> None:
        backend = create_backend("cpu", IQ)
        windows = np.stack(list(_iq_signals(IQ).values()))
        together = backend.log_mel(windows)
        for row in range(len(windows)):
            np.testing.assert_array_equal(backend.log_mel(windows[row : row + 1])[0], together[row])

    def test_silence_is_flat(self) -> None:
        nothing = np.zeros((1, IQ.window_samples), dtype=np.complex64)
        np.testing.assert_array_equal(create_backend("cpu", IQ).log_mel(nothing), 0.0)


class TestWhatABackendCannotExpress:
    @pytest.mark.parametrize(
        ("name", "spec", "said"),
        [
            ("dali", SHORT, r"features\.representation: got 'kaldi_fbank'.*Set pipeline\.backend to cpu or torch\."),
            ("dali", IQ, r"features\.representation: got 'iq_magnitude'.*Set pipeline\.backend to cpu\."),
            (
                "torch",
                IQ,
                r"features\.representation: got 'iq_magnitude'.*log_mel or kaldi_fbank with the backend torch",
            ),
            ("torch", dataclasses.replace(SHORT, n_fft=1024), r"features\.n_fft: got 1024; allowed: 400 or 512"),
            ("torch", dataclasses.replace(SHORT, num_mels=3), r"features\.num_mels: got 3; allowed: 4 or more"),
            ("dali", FeatureSpec(power=1.5), r"features\.power: got 1\.5.*Set pipeline\.backend to cpu or torch\."),
        ],
    )
    def test_is_refused_with_the_backends_that_can(self, name: str, spec: FeatureSpec, said: str) -> None:
        with pytest.raises(InvalidInput, match=said):
            create_backend(name, spec)
        assert name not in backends_for(spec)

    @pytest.mark.parametrize("spec", [FeatureSpec(), *KALDI_SPECS.values(), *IQ_SPECS.values()])
    def test_cpu_expresses_every_spec(self, spec: FeatureSpec) -> None:
        assert "cpu" in backends_for(spec)


def _torchaudio_fbank(window: Floats, spec: FeatureSpec) -> Floats:
    """By the function's own defaults but for what the spec says; a tenth of a sample outlives its cut of ms."""
    frames = torchaudio.compliance.kaldi.fbank(
        torch.from_numpy(window)[None, :],
        sample_frequency=float(spec.sample_rate_hz),
        frame_length=1000.0 * (spec.frame_samples_resolved + 0.1) / spec.sample_rate_hz,
        frame_shift=1000.0 * (spec.hop_samples + 0.1) / spec.sample_rate_hz,
        window_type="povey" if spec.frame_taper == "povey" else "hanning",
        num_mel_bins=spec.num_mels,
        low_freq=spec.f_min_hz,
        high_freq=spec.f_max_hz or 0.0,
        use_power=spec.power == 2.0,
    ).numpy()
    if spec.fixed_frames is not None:
        frames = np.pad(frames, ((0, max(0, spec.fixed_frames - len(frames))), (0, 0)))[: spec.fixed_frames]
    fbank: Floats = frames.T
    return fbank


def _ast(window: Floats, *, do_normalize: bool) -> Floats:
    extractor = ASTFeatureExtractor(do_normalize=do_normalize)  # max_length 1024, 128 mels, 16 kHz
    values: Floats = extractor(window, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    return values


def _scipy_feature(window: NDArray[np.complex64], spec: FeatureSpec) -> Floats:
    _, _, spectrum = scipy.signal.stft(
        np.pad(window.astype(np.complex128), (0, max(0, spec.n_fft - len(window)))),  # scipy would shorten its frames
        window=scipy.signal.get_window("hann", spec.n_fft),
        nperseg=spec.n_fft,
        noverlap=spec.n_fft - spec.hop_samples,
        return_onesided=False,
        boundary="zeros",
        padded=False,
        scaling="spectrum",
    )
    spectrum = np.fft.fftshift(spectrum, axes=0)[:, : spec.num_frames]
    if spec.representation == "iq_channels":
        return np.stack([spectrum.real, spectrum.imag]).astype(np.float32)
    power = np.abs(spectrum) ** spec.power
    reference = power.max() if spec.db_reference == "max" else float(spec.db_reference)
    decibels = 10 * np.log10(np.maximum(power, spec.amin)) - 10 * np.log10(max(reference, spec.amin))
    floor = -np.inf if spec.top_db is None else decibels.max() - spec.top_db
    return np.maximum(decibels, floor).astype(np.float32)


def _signals(spec: FeatureSpec) -> dict[str, Floats]:
    noise = 0.1 * np.random.default_rng(7).standard_normal(spec.window_samples)
    time_s = np.arange(spec.window_samples) / spec.sample_rate_hz
    signals = {
        "noise": noise,
        "quiet noise with an offset": 1e-3 * noise + 0.2,
        # Over noise, as what is left beside a pure tone is single precision's rounding, here and in torchaudio; with
        # power=1 its logarithm lies above the floor.
        "chirp": 1e-3 * noise
        + 0.5 * np.sin(2 * np.pi * (50 + 0.2 * spec.sample_rate_hz / spec.window_s * time_s) * time_s),
        "silence": np.zeros(spec.window_samples),
        "a burst, then silence": np.where(time_s < spec.window_s / 10, noise, 0.0),
    }
    return {name: signal.astype(np.float32) for name, signal in signals.items()}


def _iq_signals(spec: FeatureSpec) -> dict[str, NDArray[np.complex64]]:
    rng, num_samples = np.random.default_rng(7), spec.window_samples
    noise = rng.standard_normal(num_samples) + 1j * rng.standard_normal(num_samples)
    symbols = np.exp(0.5j * np.pi * rng.integers(4, size=num_samples // 8 + 1)).repeat(8)[:num_samples]
    signals = {"noise": 0.01 * noise, "QPSK": 0.1 * symbols + 0.01 * noise, "carrier": np.full(num_samples, 1 + 0j)}
    return {name: signal.astype(np.complex64) for name, signal in signals.items()}
