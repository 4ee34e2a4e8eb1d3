"""Clips are read at their own rate; surveys and draws depend on their seed alone."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.audits.clip_audio import map_audio, read_audio
from pipelines.audits.excerpts import cut_excerpt
from pipelines.audits.survey import draw_by_label, survey_recordings
from pipelines.decoding.decode import Undecodable
from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip, Manifest


def _clip(name: str, *labels: str) -> Clip:
    return Clip(clip_id=name, recording_id=name, uri=f"{name}.wav", labels=labels)


def _write(root: Path, name: str, rate_hz: int, *, seconds: float = 0.5, channels: int = 1) -> Clip:
    shape = (round(seconds * rate_hz), channels)
    samples = np.random.default_rng(len(name)).uniform(-0.5, 0.5, shape)
    soundfile.write(root / f"{name}.wav", samples, rate_hz)
    return _clip(name)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 96_000])
def test_audio_keeps_the_rate_of_its_file(tmp_path: Path, rate_hz: int) -> None:
    waveform = read_audio(Recordings(str(tmp_path)), _write(tmp_path, "a", rate_hz))
    stored = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    assert (waveform.sample_rate_hz, waveform.source_rate_hz) == (rate_hz, rate_hz)
    np.testing.assert_array_equal(waveform.samples, stored)


def test_work_on_many_clips_keeps_their_order_and_survives_bad_ones(tmp_path: Path) -> None:
    clips = [_write(tmp_path, f"clip{number:03d}", 8_000, seconds=0.01 * number) for number in range(1, 100)]
    clips.insert(50, _clip("missing"))
    found = list(map_audio(Recordings(str(tmp_path)), clips, lambda waveform: len(waveform.samples), num_threads=3))
    assert [clip for clip, _ in found] == clips
    bad = found.pop(50)[1]
    assert isinstance(bad, Undecodable)
    assert bad.reason == "missing_file"
    assert [length for _, length in found] == [80 * number for number in range(1, 100)]


def test_a_survey_counts_what_files_have_and_names_what_cannot_be_read(tmp_path: Path) -> None:
    clips = (
        _write(tmp_path, "a", 8_000, seconds=1),
        _write(tmp_path, "b", 8_000, seconds=2, channels=2),
        _write(tmp_path, "c", 44_100, seconds=3),
        _clip("missing"),
    )
    survey = survey_recordings(Manifest(name="d", root=str(tmp_path), clips=clips), max_clips=10, seed=0)
    assert survey.num_clips == 4
    assert survey.durations_s == (1.0, 2.0, 3.0)
    assert survey.num_by_rate_hz == {8_000: 2, 44_100: 1}
    assert survey.num_by_channels == {1: 2, 2: 1}
    assert [(clip_id, reason) for clip_id, reason, _ in survey.unreadable] == [("missing", "missing_file")]


class TestDraws:
    _MANIFEST = Manifest(
        name="d",
        root="/",
        clips=tuple(
            _clip(f"{label}{number:02d}", label) for label in "abc" for number in range(20 if label < "c" else 2)
        ),
    )

    def _draw(self, *, clips_per_label: int = 3, max_clips: int = 100, seed: int = 0) -> dict[str, list[str]]:
        drawn = draw_by_label(self._MANIFEST, clips_per_label=clips_per_label, max_clips=max_clips, seed=seed)
        return {label: [clip.clip_id for clip in clips] for label, clips in drawn.items()}

    def test_the_seed_decides(self) -> None:
        assert self._draw() == self._draw()
        assert self._draw() != self._draw(seed=1)
        assert {label: len(clips) for label, clips in self._draw().items()} == {"a": 3, "b": 3, "c": 2}

    def test_a_label_draws_the_same_clips_whatever_others_there_are(self) -> None:
        alone = Manifest(
            name="d", root="/", clips=tuple(clip for clip in self._MANIFEST.clips if clip.labels == ("a",))
        )
        drawn = draw_by_label(alone, clips_per_label=3, max_clips=100, seed=0)
        assert [clip.clip_id for clip in drawn["a"]] == self._draw()["a"]

    def test_the_bound_takes_clips_of_every_label_before_it_takes_labels(self) -> None:
        assert {label: len(clips) for label, clips in self._draw(max_clips=4).items()} == {"a": 1, "b": 1, "c": 1}
        assert set(self._draw(max_clips=2)) == {"a", "b"}

    def test_a_clip_of_two_labels_stands_under_both_and_one_of_none_under_the_empty_text(self) -> None:
        manifest = Manifest(name="d", root="/", clips=(_clip("x", "a", "b"), _clip("y")))
        drawn = draw_by_label(manifest, clips_per_label=1, max_clips=10, seed=0)
        assert {label: clips[0].clip_id for label, clips in drawn.items()} == {"": "y", "a": "x", "b": "x"}


class TestExcerpts:
    @pytest.mark.parametrize("rate_hz", [1_000, 8_000, 22_050, 44_100, 192_000])
    @pytest.mark.parametrize("seconds", [0.001, 0.3, 7.0])
    def test_any_rate_and_length_gives_a_picture_and_an_mp3(self, tmp_path: Path, rate_hz: int, seconds: float) -> None:
        excerpt = cut_excerpt(
            read_audio(Recordings(str(tmp_path)), _write(tmp_path, "a", rate_hz, seconds=seconds)), max_s=5.0
        )
        assert excerpt.excerpt_s == pytest.approx(min(seconds, 5.0), abs=1e-4)
        assert excerpt.duration_s == pytest.approx(seconds, abs=1e-4)
        assert excerpt.log_mel.shape[0] == len(excerpt.mel_hz)
        assert np.isfinite(excerpt.log_mel).all()
        assert (np.diff(excerpt.mel_hz) >= 0).all()
        assert excerpt.mel_hz[-1] <= rate_hz / 2
        assert (excerpt.envelope[0] <= excerpt.envelope[1]).all()
        assert excerpt.mp3[:3] == b"ID3" or excerpt.mp3[:1] == b"\xff"
        assert len(excerpt.mp3) < 60_000
        assert excerpt.log_mel.size <= 96 * 300
