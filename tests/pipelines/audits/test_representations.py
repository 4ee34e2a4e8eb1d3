"""The audit of features of every representation and dtype: levels in dB where there are such, and words where not."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audit_toys import featurized
from numpy.typing import NDArray
from radioml_files import tiny_2016, write_2016

from pipelines.audits.copies import Copies, find_copies
from pipelines.audits.dataset_audit import DatasetAuditSettings, duplicate_findings, not_checked
from pipelines.audits.levels import has_levels, levels_db
from pipelines.audits.near_duplicates import NearDuplicateSettings
from pipelines.feature_spec import FeatureSpec
from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip
from pipelines.sources.radioml import manifest as radioml_manifest
from pipelines.sources.synthetic_sounds import SAMPLE_RATE_HZ, SOUND_MODELS

LOG_MEL = FeatureSpec(db_reference=1.0, top_db=None)
KALDI = FeatureSpec(representation="kaldi_fbank", n_fft=1024, frame_samples=551, hop_samples=220, f_min_hz=20.0)
OF_SOUND = {
    "log_mel": LOG_MEL,
    "log_mel of amplitudes": dataclasses.replace(LOG_MEL, power=1.0),
    "kaldi_fbank": KALDI,
    "kaldi_fbank of amplitudes": dataclasses.replace(KALDI, power=1.0),
    "kaldi_fbank padded": dataclasses.replace(KALDI, fixed_frames=KALDI.num_frames + 200),
    "kaldi_fbank cut": dataclasses.replace(KALDI, fixed_frames=KALDI.num_frames - 100),
}
OF_IQ = {
    "iq_magnitude": FeatureSpec(representation="iq_magnitude", sample_rate_hz=1_000_000, window_s=128e-6, n_fft=16),
    "iq_channels": FeatureSpec(representation="iq_channels", sample_rate_hz=1_000_000, window_s=128e-6, n_fft=16),
}
DTYPES: dict[str, dict[str, Any]] = {
    "float16": {"dtype": "float16"},
    "float32": {"dtype": "float32"},
    "uint8": {"dtype": "uint8", "uint8_range_db": (-100.0, 60.0)},
}
KALDI_UINT8 = (-16.0, 10.0)  # natural logarithms, from the floor of the representation on


def _stored_as(spec: FeatureSpec, dtype: str) -> FeatureSpec:
    changes = dict(DTYPES[dtype])
    if dtype == "uint8" and spec.representation == "kaldi_fbank":
        changes["uint8_range_db"] = KALDI_UINT8
    if spec.is_iq:
        changes |= {"hop_samples": 8, "min_duration_s": 0.0}
    return dataclasses.replace(spec, **changes)


SOUND_SPECS = {
    f"{name}, {dtype}": _stored_as(spec, dtype) for (name, spec), dtype in itertools.product(OF_SOUND.items(), DTYPES)
}
IQ_SPECS = {
    f"{name}, {dtype}": _stored_as(spec, dtype) for (name, spec), dtype in itertools.product(OF_IQ.items(), DTYPES)
}


def _sound(kind: str) -> NDArray[np.float32]:
    samples = SOUND_MODELS[kind](np.random.default_rng(1), np.random.default_rng([1, 5]))
    return np.asarray(0.4 * samples / np.abs(samples).max(), dtype=np.float32)


def _clip(name: str, label: str = "rain") -> Clip:
    return Clip(clip_id=name, recording_id=name, uri=f"{name}.wav", labels=(label,))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`late` is a soft copy of rain that begins later, `soft` one that does not, `dog` and `engine` are others."""
    rain = _sound("rain")
    late = np.concatenate([np.zeros(20_000, dtype=np.float32), rain])[: len(rain)]
    sounds = {
        "rain": rain,
        "soft": 0.5 * rain,
        "late": 0.3 * late,
        "dog": _sound("dog_bark"),
        "engine": _sound("engine"),
    }
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, SAMPLE_RATE_HZ, subtype="FLOAT")
    return tmp_path


class TestLevels:
    @pytest.mark.parametrize("spec", SOUND_SPECS.values(), ids=SOUND_SPECS.keys())
    def test_half_the_amplitude_is_6_dB_less(self, root: Path, spec: FeatureSpec) -> None:
        _, features = featurized(root, _clip("rain"), _clip("soft"), spec=spec)
        rows = features.read(columns=["log_mel"])
        loud, soft = levels_db(rows["log_mel"], features.schema().field("log_mel"), spec)
        step = spec.scale.step_db if spec.scale else 0.0
        units_db = 10 / np.log(10) if spec.representation == "kaldi_fbank" else 1.0
        rounding_db = (step + 2**-4) * units_db * 2 / spec.power
        heard = soft > soft.max() - 40
        assert heard.mean() > 0.2
        np.testing.assert_allclose((loud - soft)[heard], 20 * np.log10(2), atol=rounding_db)

    def test_frames_that_were_padded_are_no_sound(self, root: Path) -> None:
        padded, plain = (self._levels(root, f"kaldi_fbank{more}, float32") for more in (" padded", ""))
        np.testing.assert_array_equal(padded, plain)

    def _levels(self, root: Path, name: str) -> NDArray[np.float32]:
        spec = SOUND_SPECS[name]
        _, features = featurized(root, _clip("rain"), spec=spec)
        return levels_db(features.read(columns=["log_mel"])["log_mel"], features.schema().field("log_mel"), spec)


class TestCopiesOfSound:
    @pytest.mark.parametrize("spec", SOUND_SPECS.values(), ids=SOUND_SPECS.keys())
    def test_a_soft_copy_that_begins_later_is_found_where_it_lies(self, root: Path, spec: FeatureSpec) -> None:
        copies = _copies(root, "dog", "engine", "late", "rain", spec=spec)
        (pair,) = copies.pairs
        assert (pair.first.clip_id, pair.second.clip_id) == ("late", "rain")
        assert pair.lag_s == pytest.approx(-20_000 / SAMPLE_RATE_HZ, abs=0.05)
        assert pair.correlation is not None
        assert pair.correlation > 0.7

    @pytest.mark.parametrize("name", ["log_mel", "kaldi_fbank"])
    def test_bytes_find_what_floats_find(self, root: Path, name: str) -> None:
        (byte,), (number,) = (
            _copies(root, "dog", "engine", "late", "rain", spec=SOUND_SPECS[f"{name}, {dtype}"]).pairs
            for dtype in ("uint8", "float32")
        )
        assert byte.correlation == pytest.approx(number.correlation, abs=0.05)

    @pytest.mark.parametrize("windows", ["random", "spaced"])
    def test_windows_at_drawn_places_tell_no_lag(self, root: Path, windows: Any) -> None:
        spec = dataclasses.replace(LOG_MEL, windows=windows)
        copies = _copies(root, "dog", "engine", "rain", "soft", spec=spec)
        (pair,) = copies.pairs
        assert (pair.second.clip_id, pair.lag_s) == ("soft", None)
        (finding,) = duplicate_findings(copies.pairs, NearDuplicateSettings())
        assert finding.detail == "in windows at places that were drawn"


class TestIqSamples:
    @pytest.mark.parametrize("spec", IQ_SPECS.values(), ids=IQ_SPECS.keys())
    def test_equal_examples_are_found_and_nearly_equal_ones_are_not_looked_for(
        self, tmp_path: Path, spec: FeatureSpec
    ) -> None:
        arrays = tiny_2016()
        arrays["QPSK", 10][2] = arrays["AM-DSB", -2][0]
        arrays["AM-DSB", 10][1] = 0.5 * arrays["AM-DSB", 10][0]
        write_2016(tmp_path / "RML2016.10a_dict.pkl", arrays)
        clips = radioml_manifest(Recordings(str(tmp_path)), "radio").clips
        copies = find_copies(*featurized(tmp_path, *clips, spec=spec), NearDuplicateSettings())
        ((one, other, correlation),) = (
            (pair.first.clip_id, pair.second.clip_id, pair.correlation) for pair in copies.pairs
        )
        assert ("AM-DSB" in one, "QPSK" in other, correlation) == (True, True, None)
        assert (copies.num_clips, copies.num_without_pattern) == (12, 0)
        assert not has_levels(spec)


class TestWhatIsNotChecked:
    @pytest.mark.parametrize("spec", SOUND_SPECS.values(), ids=SOUND_SPECS.keys())
    def test_of_sound_everything_is(self, spec: FeatureSpec) -> None:
        assert not_checked(spec, DatasetAuditSettings()) == {}

    def test_recordings_are_not_where_somebody_said_so(self) -> None:
        words = not_checked(LOG_MEL, DatasetAuditSettings(recordings=False))
        assert words.keys() == {"silence", "clipping", "band_limited", "unreadable"}
        assert set(words.values()) == {"not checked (audit.recordings=false)"}

    @pytest.mark.parametrize("spec", IQ_SPECS.values(), ids=IQ_SPECS.keys())
    def test_of_iq_samples_copies_that_nearly_agree_and_sound_are_not(self, spec: FeatureSpec) -> None:
        words = not_checked(spec, DatasetAuditSettings(recordings=False))
        assert words.keys() == {"near_duplicate", "silence", "clipping", "band_limited", "unreadable"}
        assert all(word.startswith("not checked: IQ samples ") for word in words.values())


def _copies(root: Path, *names: str, spec: FeatureSpec) -> Copies:
    return find_copies(*featurized(root, *map(_clip, names), spec=spec), NearDuplicateSettings())
