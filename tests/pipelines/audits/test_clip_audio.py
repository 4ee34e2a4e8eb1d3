"""Clips are read at their own rate; surveys and draws depend on their seed alone."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from decoder_toys import obedient_decode
from isolation_toys import num_samples, process_of, stumble

from pipelines.audits.clip_audio import map_audio, read_audio
from pipelines.audits.excerpts import cut_excerpt
from pipelines.audits.survey import draw_by_label, survey_recordings
from pipelines.decoding.decode import Undecodable
from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip, Manifest
from storage.errors import StorageError


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
    found = list(map_audio(Recordings(str(tmp_path)), clips, num_samples, num_processes=3))
    assert [clip for clip, _ in found] == clips
    bad = found.pop(50)[1]
    assert isinstance(bad, Undecodable)
    assert bad.reason == "missing_file"
    assert [length for _, length in found] == [80 * number for number in range(1, 100)]


class TestIsolation:
    """A decoder that goes astray loses its own clip, as in featurizing."""

    @pytest.mark.parametrize(
        ("order", "reason", "detail"),
        [
            ("signal SIGSEGV", "decoder_crashed", "the decoder's process was killed by SIGSEGV"),
            ("exit 3", "decoder_crashed", "the decoder's process exited with code 3"),
            ("hang", "timed_out", "not decoded within pipeline.clip_time_limit_s = 3 s"),
            ("raise by zero", "internal_error", "ZeroDivisionError: by zero"),
        ],
    )
    def test_a_decoder_that_fails_badly_loses_only_its_own_clip(
        self, tmp_path: Path, order: str, reason: str, detail: str
    ) -> None:
        clips = [_write(tmp_path, name, 8_000) for name in "abcdef"]
        (tmp_path / "c.wav").write_text(f"do: {order}")
        found = {clip.clip_id: result for clip, result in self._map(tmp_path, clips)}
        bad = found.pop("c")
        assert isinstance(bad, Undecodable)
        assert (bad.reason, bad.detail) == (reason, detail)
        assert set(found.values()) == {4_000}

    def test_several_bad_clips_one_after_the_other_are_all_told(self, tmp_path: Path) -> None:
        clips = [_write(tmp_path, name, 8_000) for name in "abcd"]
        for name in "bc":
            (tmp_path / f"{name}.wav").write_text("do: signal SIGABRT")
        found = [getattr(result, "reason", result) for _, result in self._map(tmp_path, clips)]
        assert found == [4_000, "decoder_crashed", "decoder_crashed", 4_000]

    def test_a_crash_that_does_not_come_again_costs_the_clip_nothing(self, tmp_path: Path) -> None:
        clips = [_write(tmp_path, "a", 8_000)]
        (tmp_path / "a.wav").write_text(f"do: once {tmp_path / 'done'}")
        ((_, found),) = self._map(tmp_path, clips)
        assert isinstance(found, Undecodable)
        assert found.reason == "not_audio"  # the toy's own word, not a crash

    def test_work_that_stumbles_over_a_clip_is_that_clips_reason(self, tmp_path: Path) -> None:
        ((_, found),) = map_audio(Recordings(str(tmp_path)), [_write(tmp_path, "a", 8_000)], stumble)
        assert isinstance(found, Undecodable)
        assert (found.reason, found.detail) == ("internal_error", "LookupError: over sound")

    def test_processes_killed_from_outside_end_it_and_blame_no_clip(self, tmp_path: Path) -> None:
        clips = [_write(tmp_path, "a", 8_000)]
        (tmp_path / "a.wav").write_text("do: signal SIGKILL")
        with pytest.raises(StorageError, match=r"died 5 times, last at clip 'a'.*Free some, or take the clip out"):
            list(self._map(tmp_path, clips))

    def test_a_file_that_changed_since_the_manifest_is_no_fault_of_the_clip(self, tmp_path: Path) -> None:
        changed = dataclasses.replace(_write(tmp_path, "a", 8_000), size_bytes=1)
        with pytest.raises(StorageError, match="bytes now, the manifest saw 1"):
            list(self._map(tmp_path, [changed]))

    def test_the_work_is_shared_by_as_many_processes_as_asked_for(self, tmp_path: Path) -> None:
        clips = [_write(tmp_path, f"{number:03d}", 8_000) for number in range(200)]
        found = map_audio(Recordings(str(tmp_path)), clips, process_of, num_processes=3)
        pids = {pid for _, pid in found}
        assert 1 < len(pids) <= 3
        assert os.getpid() not in pids

    def test_no_process_stays_when_the_caller_stops_early(self, tmp_path: Path) -> None:
        clips = [_write(tmp_path, f"{number:03d}", 8_000) for number in range(20)]
        found = map_audio(Recordings(str(tmp_path)), clips, process_of, num_processes=2)
        _, pid = next(found)
        assert isinstance(pid, int)
        assert psutil.pid_exists(pid)
        found.close()
        assert not psutil.pid_exists(pid)

    def test_no_clips_are_no_work(self, tmp_path: Path) -> None:
        assert list(self._map(tmp_path, [])) == []

    def _map(self, root: Path, clips: list[Clip]) -> Iterator[tuple[Clip, int | Undecodable]]:
        return map_audio(
            Recordings(str(root)), clips, num_samples, num_processes=2, clip_time_limit_s=3.0, decode=obedient_decode
        )


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
