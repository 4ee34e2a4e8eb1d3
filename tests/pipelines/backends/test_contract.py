"""What every log-mel backend owes, held against librosa."""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from pipelines.backends import LogMelBackend, create_backend, list_backends
from pipelines.decoding.decode import cut_windows, decode
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip
from storage.errors import InvalidInput

Floats = NDArray[np.float32]
MakeBackend = Callable[[FeatureSpec], LogMelBackend]

SPECS = {
    "default": FeatureSpec(),
    "fine": FeatureSpec(hop_samples=512, num_mels=128),
    "32 kHz": FeatureSpec(sample_rate_hz=32_000, n_fft=1024, hop_samples=512, num_mels=128),
    "htk": FeatureSpec(mel_scale="htk", mel_norm="none"),
    "absolute dB": FeatureSpec(db_reference=1.0, top_db=None),
    "band-limited": FeatureSpec(f_min_hz=300.0, f_max_hz=8000.0),
    # Half the floor: 80 dB of an amplitude reach down to single precision's rounding in the FFT, librosa's and ours.
    "amplitude": FeatureSpec(power=1.0, top_db=40.0),
    # As many bands as make a last, shorter group, and frames that do not divide the window.
    "few bands": FeatureSpec(num_mels=10, n_fft=512, hop_samples=160, window_s=0.7),
}
SHORT = FeatureSpec(window_s=0.5)

NO_CUDA = not torch.cuda.is_available()


class TestLogMelBackend:
    @pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
    def test_the_shape_is_windows_mels_frames_in_float32(self, make_backend: MakeBackend, spec: FeatureSpec) -> None:
        log_mels = make_backend(spec).log_mel(_noise(spec, 3))
        assert log_mels.shape == (3, spec.num_mels, spec.num_frames)
        assert log_mels.dtype == np.float32

    def test_no_windows_give_no_log_mels(self, make_backend: MakeBackend) -> None:
        log_mels = make_backend(SHORT).log_mel(_noise(SHORT, 0))
        assert log_mels.shape == (0, SHORT.num_mels, SHORT.num_frames)

    @pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
    def test_every_signal_agrees_with_librosa(self, make_backend: MakeBackend, spec: FeatureSpec) -> None:
        backend = make_backend(spec)
        signals = _signals(spec)
        log_mels = backend.log_mel(np.stack(list(signals.values())))
        for (name, signal), log_mel in zip(signals.items(), log_mels, strict=True):
            difference_db = np.abs(log_mel - _librosa_log_mel(signal, spec)).mean()
            assert difference_db <= backend.tolerance_db, name

    def test_a_silent_window_is_flat(self, make_backend: MakeBackend) -> None:
        silence = np.zeros((1, SHORT.window_samples), dtype=np.float32)
        np.testing.assert_array_equal(make_backend(SHORT).log_mel(silence), 0.0)

    def test_a_window_does_not_depend_on_its_neighbours(self, make_backend: MakeBackend) -> None:
        backend = make_backend(SHORT)
        windows = _noise(SHORT, 35)
        windows[1::2] *= 1000.0
        together = backend.log_mel(windows)
        for row in (0, 1, 31, 32, 34):
            alone = backend.log_mel(windows[row : row + 1])[0]
            if backend.name == "cpu":
                np.testing.assert_array_equal(alone, together[row])
            else:
                assert np.abs(alone - together[row]).mean() <= backend.tolerance_db

    def test_windows_come_back_in_order(self, make_backend: MakeBackend) -> None:
        spec = FeatureSpec(window_s=0.5, db_reference=1.0)
        gains = np.geomspace(1e-2, 1.0, 67, dtype=np.float32)
        log_mels = make_backend(spec).log_mel(gains[:, None] * _noise(spec, 1))
        levels_db = log_mels.mean(axis=(1, 2))
        np.testing.assert_allclose(levels_db - levels_db[-1], 20.0 * np.log10(gains), atol=0.01)

    def test_an_earlier_result_survives_a_later_call(self, make_backend: MakeBackend) -> None:
        backend = make_backend(SHORT)
        windows = _noise(SHORT, 2)
        first = backend.log_mel(windows[:1])
        kept = first.copy()
        backend.log_mel(windows[1:])
        np.testing.assert_array_equal(first, kept)

    def test_the_windows_given_are_left_alone(self, make_backend: MakeBackend) -> None:
        windows = _noise(SHORT, 2)
        before = windows.copy()
        make_backend(SHORT).log_mel(windows)
        np.testing.assert_array_equal(windows, before)

    def test_all_clips_of_esc_10_agree_with_librosa(
        self, make_backend: MakeBackend, esc_10: tuple[Floats, Floats]
    ) -> None:
        windows, expected = esc_10
        difference_db = float(np.abs(make_backend(FeatureSpec()).log_mel(windows) - expected).mean())
        print(f"ESC-10, {len(windows)} clips: mean |Δ| to librosa {difference_db:.2e} dB")
        assert difference_db <= 0.05


class TestWhatABackendCannotDo:
    def test_an_unknown_backend_is_named(self) -> None:
        with pytest.raises(InvalidInput, match=r"pipeline\.backend: got 'dalli'.*Did you mean 'dali'"):
            create_backend("dalli", SHORT)
        assert list_backends() == ("cpu", "dali", "torch")

    def test_an_unknown_device_is_named(self) -> None:
        with pytest.raises(InvalidInput, match=r"pipeline\.device: got 'tpu'"):
            create_backend("dali", SHORT, device="tpu")

    @pytest.mark.skipif(not NO_CUDA, reason="there is a CUDA device here")
    def test_cuda_without_a_gpu_says_what_to_do(self) -> None:
        with pytest.raises(InvalidInput, match=r"pipeline\.device: got 'cuda'.*Set pipeline\.device to cpu"):
            create_backend("dali", SHORT, device="cuda")

    @pytest.mark.parametrize(
        ("spec", "field"),
        [(FeatureSpec(power=1.5), "features.power")],
        ids=["power"],
    )
    def test_dali_refuses_what_it_cannot_express(self, spec: FeatureSpec, field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            create_backend("dali", spec)
        assert refused.value.field == field


@pytest.fixture(scope="module")
def esc_10() -> tuple[Floats, Floats]:
    """Windows as the pipeline decodes them, and librosa's log-mels of the same files read without it."""
    if "ESC50_ROOT" not in os.environ:
        pytest.skip("ESC50_ROOT is not set to a copy of ESC-50")
    root = Path(os.environ["ESC50_ROOT"])
    with (root / "meta" / "esc50.csv").open(newline="") as rows:
        names = [row["filename"] for row in csv.DictReader(rows) if row["esc10"] == "True"]
    assert len(names) == 400
    spec = FeatureSpec()
    windows, expected = [], []
    for name in names:
        path = root / "audio" / name
        clip = Clip(clip_id=name, recording_id=name, uri=name, labels=())
        windows.append(cut_windows(decode(io.BytesIO(path.read_bytes()), clip, spec), spec)[0])
        audio, rate_hz = soundfile.read(path, dtype="float32")
        resampled = librosa.resample(audio, orig_sr=rate_hz, target_sr=spec.sample_rate_hz, res_type="soxr_hq")
        expected.append(_librosa_log_mel(librosa.util.fix_length(resampled, size=spec.window_samples), spec))
    return np.stack(windows), np.stack(expected)


def _librosa_log_mel(window: Floats, spec: FeatureSpec) -> Floats:
    mel = librosa.feature.melspectrogram(
        y=window,
        sr=spec.sample_rate_hz,
        n_fft=spec.n_fft,
        hop_length=spec.hop_samples,
        center=True,
        pad_mode="constant",
        power=spec.power,
        n_mels=spec.num_mels,
        fmin=spec.f_min_hz,
        fmax=spec.f_max_hz,
        htk=spec.mel_scale == "htk",
        norm=None if spec.mel_norm == "none" else spec.mel_norm,
    )
    reference = np.max if spec.db_reference == "max" else spec.db_reference
    log_mel: Floats = librosa.power_to_db(mel, ref=reference, amin=spec.amin, top_db=spec.top_db)
    return log_mel


def _noise(spec: FeatureSpec, num_windows: int) -> Floats:
    rng = np.random.default_rng(7)
    return 0.1 * rng.standard_normal((num_windows, spec.window_samples), dtype=np.float32)


def _signals(spec: FeatureSpec) -> dict[str, Floats]:
    num_samples = spec.window_samples
    time_s = np.arange(num_samples) / spec.sample_rate_hz
    f_end_hz = 0.45 * spec.sample_rate_hz
    clicks = np.zeros(num_samples)
    clicks[num_samples // 20 :: num_samples // 9] = 1.0
    noise = _noise(spec, 1)[0]
    signals = {
        "noise": noise,
        "quiet noise": 1e-4 * noise,
        "chirp": 0.5 * np.sin(2 * np.pi * (50.0 + f_end_hz / (2 * spec.window_s) * time_s) * time_s),
        "falling chirp": 0.5 * np.sin(2 * np.pi * (f_end_hz - f_end_hz / (2 * spec.window_s) * time_s) * time_s),
        "clicks": clicks,
        "silence": np.zeros(num_samples),
        "a burst, then silence": np.where(time_s < spec.window_s / 10, noise, 0.0),
    }
    return {name: signal.astype(np.float32) for name, signal in signals.items()}
