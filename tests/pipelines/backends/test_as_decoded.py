"""The way of clips as they were decoded, held against libsoxr on the host and the backend `cpu`."""

import csv
import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from numpy.typing import NDArray

from pipelines.backends import LogMelBackend, PcmBackend, create_backend
from pipelines.backends.device_resampling import DeviceResampler
from pipelines.backends.soxr_filters import measured_filter
from pipelines.decoding.decode import cut_windows, read_pcm, waveform_of
from pipelines.decoding.pcm import Pcm, num_resampled
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip

BACKENDS = ("torch", "dali")

Floats = NDArray[np.float32]
MakeBackend = Callable[[FeatureSpec], PcmBackend]

SHORT = FeatureSpec(window_s=0.5, n_fft=512, hop_samples=256)
SPECS = {
    "first": SHORT,
    "vhq": dataclasses.replace(SHORT, resampler="soxr_vhq"),
    "absolute dB": dataclasses.replace(SHORT, db_reference=1.0, top_db=None),
    "32 kHz": dataclasses.replace(SHORT, sample_rate_hz=32_000),
    "sequential": dataclasses.replace(SHORT, windows="all", window_hop_s=0.5),
    "overlapping": dataclasses.replace(SHORT, windows="all", window_hop_s=0.13),
    "random": dataclasses.replace(SHORT, windows="random", window_hop_s=0.1, max_windows=5),
    "spaced": dataclasses.replace(SHORT, windows="spaced", window_hop_s=0.2),
    # Windows that begin within the first samples, where libsoxr weighs the signal's start differently.
    "many starts": dataclasses.replace(SHORT, windows="all", window_hop_s=3 / 22_050, max_windows=60),
}
RATES_HZ = (8_000, 22_050, 44_100, 48_000, 96_000)
SAMPLES_TOLERANCE = 3e-6  # of full scale; measured: 1.8e-6 over ESC-10 (2026-11-21)


class TestPcmBackend:
    @pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
    @pytest.mark.parametrize("rate_hz", RATES_HZ)
    def test_every_signal_agrees_with_the_way_of_the_host(
        self, make_backend: MakeBackend, spec: FeatureSpec, rate_hz: int
    ) -> None:
        backend, signals = make_backend(spec), _signals(rate_hz)
        log_mels = backend.log_mel_of_pcm(list(signals.values()), [_starts(pcm, spec) for pcm in signals.values()])
        for (name, pcm), log_mel in zip(signals.items(), log_mels, strict=True):
            expected = create_backend("cpu", spec).log_mel(_host_windows(pcm, spec))
            assert (log_mel.shape, log_mel.dtype) == (expected.shape, np.float32)
            assert np.abs(log_mel - expected).mean() <= backend.tolerance_db, name

    @pytest.mark.parametrize("num_samples", [1, 2, 100, 1_000, 22_050, 30_000])
    def test_a_clip_of_any_length_agrees(self, make_backend: MakeBackend, num_samples: int) -> None:
        backend, pcm = make_backend(SHORT), _pcm(_noise(num_samples), 44_100)
        (log_mel,) = backend.log_mel_of_pcm([pcm], [_starts(pcm, SHORT)])
        expected = create_backend("cpu", SHORT).log_mel(_host_windows(pcm, SHORT))
        assert np.abs(log_mel - expected).mean() <= backend.tolerance_db

    def test_silence_is_flat(self, make_backend: MakeBackend) -> None:
        silence = _pcm(np.zeros(30_000), 44_100)
        (log_mel,) = make_backend(SHORT).log_mel_of_pcm([silence], [[0]])
        np.testing.assert_array_equal(log_mel, 0.0)

    def test_clips_of_all_kinds_come_back_in_order_and_do_not_depend_on_each_other(
        self, make_backend: MakeBackend
    ) -> None:
        spec = dataclasses.replace(SPECS["sequential"], db_reference=1.0, top_db=None)
        backend = make_backend(spec)
        clips = [pcm for rate_hz in RATES_HZ for pcm in _signals(rate_hz).values()]
        clips = [clips[position] for position in np.random.default_rng(0).permutation(len(clips))]
        starts = [_starts(pcm, spec) for pcm in clips]
        together = backend.log_mel_of_pcm(clips, starts)
        for pcm, firsts, log_mel in zip(clips, starts, together, strict=True):
            (alone,) = backend.log_mel_of_pcm([pcm], [firsts])
            assert np.abs(alone - log_mel).mean() <= backend.tolerance_db

    def test_no_clips_give_no_log_mels(self, make_backend: MakeBackend) -> None:
        assert make_backend(SHORT).log_mel_of_pcm([], []) == []

    def test_a_clip_is_left_alone(self, make_backend: MakeBackend) -> None:
        pcm = _pcm(_noise(30_000), 44_100)
        before = pcm.samples_TC.copy()
        make_backend(SHORT).log_mel_of_pcm([pcm], [[0]])
        np.testing.assert_array_equal(pcm.samples_TC, before)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, 1e12])
    def test_samples_that_could_overflow_are_left_to_the_host(self, make_backend: MakeBackend, bad: float) -> None:
        samples = _noise(30_000)
        backend = make_backend(SHORT)
        assert backend.takes(Pcm(samples_TC=samples[:, None], sample_rate_hz=44_100))
        samples[20_000] = bad
        assert not backend.takes(Pcm(samples_TC=samples[:, None], sample_rate_hz=44_100))

    def test_a_rate_with_too_long_a_period_is_left_to_the_host(self, make_backend: MakeBackend) -> None:
        assert not make_backend(SHORT).takes(_pcm(_noise(30_000), 22_254))

    def test_all_clips_of_esc_10_agree_with_the_way_of_the_host(
        self, make_backend: MakeBackend, esc50_root: Path
    ) -> None:
        spec, backend = FeatureSpec(), make_backend(FeatureSpec())
        with (esc50_root / "meta" / "esc50.csv").open(newline="") as rows:
            names = [row["filename"] for row in csv.DictReader(rows) if row["esc10"] == "True"]
        differences = []
        for first in range(0, len(names), 40):
            clips = [_read(esc50_root / "audio" / name, spec) for name in names[first : first + 40]]
            expected = create_backend("cpu", spec).log_mel(np.concatenate([_host_windows(pcm, spec) for pcm in clips]))
            found = np.concatenate(backend.log_mel_of_pcm(clips, [_starts(pcm, spec) for pcm in clips]))
            differences.append(np.abs(found - expected).mean(axis=(0, 2)))
        by_band = np.mean(differences, axis=0)
        print(f"ESC-10, {len(names)} clips: mean |Δ| {by_band.mean():.1e} dB, worst band {by_band.max():.1e} dB")
        assert by_band.max() <= backend.tolerance_db


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("resampler", ["soxr_hq", "soxr_vhq"])
@pytest.mark.parametrize(
    ("from_hz", "to_hz"),
    [(44_100, 22_050), (48_000, 22_050), (44_100, 32_000), (44_100, 16_000), (8_000, 22_050), (192_000, 22_050)],
)
def test_the_device_s_samples_are_libsoxr_s(device: str, resampler: Any, from_hz: int, to_hz: int) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    spec = dataclasses.replace(SPECS["overlapping"], sample_rate_hz=to_hz, resampler=resampler)
    resampled = DeviceResampler(spec, torch.device(device), most_windows=7)
    clips = list(_signals(from_hz).values())
    expected = [_host_windows(pcm, spec) for pcm in clips]
    for places, windows in resampled.batches(clips, [_starts(pcm, spec) for pcm in clips]):
        for place, window in zip(places, windows.cpu().numpy(), strict=True):
            difference = np.abs(window - expected[place.clip][place.window]).max()
            assert difference <= SAMPLES_TOLERANCE, list(_signals(from_hz))[place.clip]


@pytest.mark.parametrize("quality", ["HQ", "VHQ"])
@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(44_100, 22_050), (22_050, 44_100), (11_025, 16_000), (96_000, 22_050), (1_000, 48_000)]
)
def test_a_measured_filter_resamples_signals_of_any_length_as_libsoxr(quality: str, from_hz: int, to_hz: int) -> None:
    found = measured_filter(from_hz, to_hz, quality)
    assert found is not None
    for num_samples in (1, 2, 3, 10, 333, 20_011):
        signal = np.random.default_rng(num_samples).uniform(-1, 1, num_samples).astype(np.float32)
        expected = soxr.resample(signal, from_hz, to_hz, quality=quality)
        assert len(expected) == num_resampled(num_samples, from_hz, to_hz)
        np.testing.assert_allclose(found.apply(signal, len(expected)), expected, atol=SAMPLES_TOLERANCE)


def test_a_ratio_that_would_need_a_huge_filter_has_none() -> None:
    assert measured_filter(22_254, 22_050, "HQ") is None
    assert measured_filter(1_000_000, 1_000, "HQ") is None


def test_the_hash_of_16_bit_samples_is_that_of_their_floats() -> None:
    pcm = _pcm(_noise(100_003).reshape(-1, 1).repeat(2, axis=1), 44_100)
    floats = Pcm(samples_TC=pcm.as_float(), sample_rate_hz=44_100)
    assert pcm.samples_TC.dtype == np.int16
    assert pcm.hash() == floats.hash() == waveform_of(pcm, SHORT).pcm_hash


def test_the_backend_cpu_has_no_such_way() -> None:
    cpu: LogMelBackend = create_backend("cpu", SHORT)
    assert not isinstance(cpu, PcmBackend)


def _signals(rate_hz: int) -> dict[str, Pcm]:
    """1.2 s of each, 16 bits unless the name says otherwise; and one shorter than a window."""
    num_samples = round(1.2 * rate_hz)
    time_s, noise = np.arange(num_samples) / rate_hz, _noise(num_samples)
    clicks = np.zeros(num_samples)
    clicks[:: num_samples // 9] = 0.9
    chirp = 0.5 * np.sin(2 * np.pi * (50.0 + 0.18 * rate_hz * time_s) * time_s)
    return {
        "noise": _pcm(noise, rate_hz),
        "chirp over noise": _pcm(chirp + 0.01 * noise, rate_hz),
        "clicks": _pcm(clicks, rate_hz),
        "a burst, then silence": _pcm(np.where(time_s < 0.2, noise, 0.0), rate_hz),
        "stereo": _pcm(np.stack([noise, 0.3 * chirp], axis=1), rate_hz),
        "five channels": _pcm(np.stack([noise * gain for gain in range(5)], axis=1) / 5, rate_hz),
        "float": Pcm(samples_TC=noise[:, None], sample_rate_hz=rate_hz),
        "short": _pcm(noise[: num_samples // 5], rate_hz),
        "a full scale that ends at once": _pcm(np.full(num_samples // 3, 0.99), rate_hz),
    }


def _noise(num_samples: int) -> Floats:
    return (0.1 * np.random.default_rng(7).standard_normal(num_samples)).astype(np.float32)


def _pcm(samples: NDArray[Any], rate_hz: int) -> Pcm:
    pcm = np.round(samples * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    return Pcm(samples_TC=pcm.reshape(len(pcm), -1), sample_rate_hz=rate_hz)


def _read(path: Path, spec: FeatureSpec) -> Pcm:
    clip = Clip(clip_id=path.name, recording_id=path.name, uri=path.name, labels=())
    return read_pcm(io.BytesIO(path.read_bytes()), clip, spec)


def _starts(pcm: Pcm, spec: FeatureSpec) -> Sequence[int]:
    return spec.window_starts(num_resampled(len(pcm.samples_TC), pcm.sample_rate_hz, spec.sample_rate_hz), "clip")


def _host_windows(pcm: Pcm, spec: FeatureSpec) -> Floats:
    windows: Floats = cut_windows(waveform_of(pcm, spec), spec, "clip")
    return windows
