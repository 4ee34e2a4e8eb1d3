"""Copies are found however they were made, and sounds of the same kind are not taken for copies."""

import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from pipelines.audits.fingerprints import num_cells, patterns
from pipelines.audits.near_duplicates import (
    NearDuplicate,
    NearDuplicateSearch,
    NearDuplicateSettings,
    aligned_correlations,
)
from pipelines.backends import create_backend
from pipelines.decoding.decode import Waveform, cut_windows
from pipelines.feature_spec import FeatureSpec
from pipelines.sources.synthetic_sounds import SAMPLE_RATE_HZ, SOUND_MODELS
from storage.errors import InvalidInput

SPEC = FeatureSpec(sample_rate_hz=SAMPLE_RATE_HZ, n_fft=4096, hop_samples=2048)
HOP_S = SPEC.hop_samples / SPEC.sample_rate_hz
Samples = NDArray[np.float32]


def _sound(kind: str, recording: int, take: int = 0) -> Samples:
    samples = SOUND_MODELS[kind](np.random.default_rng(recording), np.random.default_rng([recording, take]))
    return np.asarray(0.5 * samples / np.abs(samples).max(), dtype=np.float32)


def _log_mel(samples: Samples, spec: FeatureSpec = SPEC) -> NDArray[np.float16]:
    waveform = Waveform(
        samples=samples,
        sample_rate_hz=spec.sample_rate_hz,
        source_rate_hz=spec.sample_rate_hz,
        num_channels=1,
        pcm_hash="",
    )
    return create_backend("cpu", spec).log_mel(cut_windows(waveform, spec))[0].astype(np.float16)


def _find(
    sounds: list[Samples],
    kin: list[int] | None = None,
    spec: FeatureSpec = SPEC,
    settings: NearDuplicateSettings | None = None,
) -> list[NearDuplicate]:
    search = NearDuplicateSearch(settings or NearDuplicateSettings(), hop_s=spec.hop_samples / spec.sample_rate_hz)
    for sound in sounds:
        search.add(_log_mel(sound, spec)[None])
    return search.find(np.array(kin if kin is not None else range(len(sounds))))


def _later(samples: Samples, seconds: float) -> Samples:
    silence = np.zeros(round(seconds * SAMPLE_RATE_HZ), dtype=np.float32)
    return np.concatenate([silence, samples])[: len(samples)]


def _encoded_again(samples: Samples, container: str, codec: str) -> Samples:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE_HZ, format=container, subtype=codec, compression_level=0.95)
    buffer.seek(0)
    return np.asarray(soundfile.read(buffer, dtype="float32")[0])


def _noised(samples: Samples, snr_db: float) -> Samples:
    noise = np.random.default_rng(9).standard_normal(len(samples))
    scale = np.sqrt(np.square(samples).mean() / np.square(noise).mean()) * 10 ** (-snr_db / 20)
    return (samples + scale * noise).astype(np.float32)


_KINDS = ("rain", "engine", "crickets", "footsteps", "dog_bark", "water_drops")


@pytest.fixture(scope="module")
def originals() -> list[Samples]:
    return [_sound(kind, recording) for kind in _KINDS for recording in (1, 2)]


class TestPlantedCopies:
    @pytest.mark.parametrize("copy", ["later", "earlier", "softer", "mp3", "ogg", "noise"])
    def test_nearly_all_are_found_and_nothing_else_is(self, originals: list[Samples], copy: str) -> None:
        copies = [
            {
                "later": lambda samples: _later(samples, 0.777),
                "earlier": lambda samples: samples[round(0.333 * SAMPLE_RATE_HZ) :],
                "softer": lambda samples: samples * np.float32(0.25),
                "mp3": lambda samples: _encoded_again(samples, "MP3", "MPEG_LAYER_III"),
                "ogg": lambda samples: _encoded_again(samples, "OGG", "VORBIS"),
                "noise": lambda samples: _noised(samples, snr_db=15),
            }[copy](samples)
            for samples in originals
        ]
        found = _find([*originals, *copies])
        true = [pair for pair in found if pair.second - pair.first == len(originals)]
        assert len(true) >= 0.9 * len(originals)  # the floor on recall
        assert len(true) == len(found)  # and the one on precision: every pair is a planted one

    def test_the_lag_and_its_sign_are_told(self, originals: list[Samples]) -> None:
        (pair,) = _find([originals[0], _later(originals[0], 0.5), originals[2]])
        assert (pair.first, pair.second) == (0, 1)
        assert pair.lag_s == pytest.approx(0.5, abs=HOP_S)
        (pair,) = _find([_later(originals[0], 0.5), originals[0], originals[2]])
        assert pair.lag_s == pytest.approx(-0.5, abs=HOP_S)

    def test_windows_of_one_kin_are_not_compared(self, originals: list[Samples]) -> None:
        sounds = [originals[0], originals[0] * np.float32(0.5), originals[2], originals[4]]
        assert [(pair.first, pair.second) for pair in _find(sounds, kin=[0, 1, 2, 3])] == [(0, 1)]
        assert _find(sounds, kin=[0, 0, 2, 3]) == []

    @pytest.mark.parametrize("setting", [{"max_shift_s": 0.3}, {"min_significance": 100}, {"min_correlation": 0.999}])
    def test_settings_decide_what_counts(self, originals: list[Samples], setting: dict[str, float]) -> None:
        sounds = [originals[0], _later(originals[0], 0.7), originals[2]]
        assert len(_find(sounds)) == 1
        assert _find(sounds, settings=NearDuplicateSettings(**setting)) == []

    def test_a_family_of_many_copies_hangs_together(self, originals: list[Samples]) -> None:
        family = [originals[0] * np.float32(1 - 0.03 * number) for number in range(25)]
        found = _find([*family, *originals[1:]])
        reached = {0}
        for _ in family:
            reached |= {
                end for pair in found if {pair.first, pair.second} & reached for end in (pair.first, pair.second)
            }
        assert reached == set(range(25))

    def test_a_finer_hop_and_more_mels_find_them_too(self, originals: list[Samples]) -> None:
        spec = FeatureSpec(sample_rate_hz=SAMPLE_RATE_HZ, n_fft=2048, hop_samples=512, num_mels=128)
        found = _find([*originals[:3], _later(originals[0], 0.4)], spec=spec)
        assert [(pair.first, pair.second) for pair in found] == [(0, 3)]


class TestWhatHoldsNothing:
    def test_silence_and_steady_tones_match_nothing_and_are_counted(self) -> None:
        time_s = np.arange(5 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
        tone = np.sin(2 * np.pi * 1000 * time_s).astype(np.float32)
        search = NearDuplicateSearch(NearDuplicateSettings(), hop_s=HOP_S)
        silence = np.zeros_like(tone)
        search.add(np.stack([_log_mel(sound) for sound in (silence, silence, tone[: len(tone) // 2])]))
        search.add(_log_mel(_sound("rain", 1))[None])
        assert search.num_without_pattern() >= 2
        assert search.find(np.arange(4)) == []

    def test_nothing_added_is_nothing_found(self) -> None:
        search = NearDuplicateSearch(NearDuplicateSettings(), hop_s=HOP_S)
        assert search.find(np.array([], dtype=int)) == []
        search.add(_log_mel(_sound("rain", 1))[None])
        assert search.find(np.array([0])) == []

    @pytest.mark.parametrize("shape", [(2, 1, 50), (2, 40, 2), (2, 40, 0)])
    def test_log_mels_too_small_for_a_pattern_have_no_cells(self, shape: tuple[int, int, int]) -> None:
        assert num_cells(patterns(np.zeros(shape, dtype=np.float16), hop_s=0.046)).tolist() == [0, 0]


class TestCorrelation:
    def test_a_pattern_shifted_by_whole_steps_correlates_fully_at_that_lag(self) -> None:
        noise = np.random.default_rng(0).standard_normal((31, 140))
        first, second = noise[None, :, 20:120], noise[None, :, 13:113]
        correlations, lags = aligned_correlations(first, second, max_lag=30)
        assert lags.tolist() == [7.0]
        assert correlations[0] == pytest.approx(1.0, abs=1e-5)

    def test_a_lag_that_leaves_too_little_energy_is_not_taken(self) -> None:
        burst = np.random.default_rng(0).standard_normal((31, 5))
        first, second = np.zeros((1, 31, 100)), np.zeros((1, 31, 100))
        first[0, :, :5] = burst  # the same burst at the beginning of one and the end of the other
        second[0, :, 95:] = burst
        correlations, _ = aligned_correlations(first, second, max_lag=50)
        assert correlations[0] < 0.5

    def test_a_gain_changes_no_pattern(self) -> None:
        log_mel = _log_mel(_sound("engine", 1)).astype(np.float32)[None]
        assert np.allclose(patterns(log_mel, hop_s=HOP_S), patterns(log_mel - 12, hop_s=HOP_S), atol=1e-3)


@pytest.mark.parametrize("setting", ["min_correlation=0", "min_correlation=1.5", "max_shift_s=-1"])
def test_settings_out_of_range_are_refused(setting: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(InvalidInput, match=f"audit.near_duplicates.{name}"):
        NearDuplicateSettings(**{name: float(value)})
