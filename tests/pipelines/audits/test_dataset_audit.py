"""Everything that was planted in a small data set is found, and nothing more."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audit_toys import featurized
from decoder_toys import obedient_decode

from pipelines.audits.copies import Copies, Pair, find_copies
from pipelines.audits.dataset_audit import (
    DatasetAuditSettings,
    duplicate_findings,
    sound_findings,
    split_findings,
    worst_first,
)
from pipelines.audits.near_duplicates import NearDuplicateSettings
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip, Manifest
from pipelines.sources.synthetic_sounds import SAMPLE_RATE_HZ, SOUND_MODELS, Waveform
from storage.errors import StorageError
from storage.feature_store import FeatureStore
from storage.findings import Finding, is_leak, load_findings, save_findings
from storage.object_store import open_store
from storage.split import Part

SPEC = FeatureSpec(variants=("original", "gain(db=-6)"))
SETTINGS = NearDuplicateSettings()


def _sound(kind: str, recording: int = 1) -> Waveform:
    samples = SOUND_MODELS[kind](np.random.default_rng(recording), np.random.default_rng([recording, 5]))
    return np.asarray(0.4 * samples / np.abs(samples).max(), dtype=np.float32)


def _clip(clip_id: str, *, label: str = "rain", group: str = "", fold: int | None = None) -> Clip:
    name = clip_id.partition("#")[0]
    return Clip(clip_id=clip_id, recording_id=group or clip_id, uri=f"{name}.wav", labels=(label,), fold=fold)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Sounds by name: `rain`, `late` is rain shifted, `equal` is rain again, `dog` is another."""
    rain = _sound("rain")
    sounds = {
        "rain": rain,
        "equal": rain,
        "late": np.concatenate([np.zeros(20_000, dtype=np.float32), rain])[: len(rain)],
        "dog": _sound("dog_bark"),
        "engine": _sound("engine"),
    }
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    return tmp_path


def _featurized(root: Path, *clips: Clip, spec: FeatureSpec = SPEC) -> tuple[Manifest, FeatureStore]:
    return featurized(root, *clips, spec=spec)


def _copies(root: Path, *clips: Clip) -> Copies:
    return find_copies(*_featurized(root, *clips), SETTINGS)


def _ids(pairs: tuple[Pair, ...]) -> list[tuple[str, str, bool]]:
    return sorted((pair.first.clip_id, pair.second.clip_id, pair.correlation is None) for pair in pairs)


class TestCopies:
    def test_equal_and_shifted_copies_in_other_groups_are_found(self, root: Path) -> None:
        copies = _copies(root, _clip("dog"), _clip("engine"), _clip("equal"), _clip("late"), _clip("rain"))
        assert _ids(copies.pairs) == [("equal", "late", False), ("equal", "rain", True), ("late", "rain", False)]
        assert copies.num_clips == 5
        (shifted,) = [pair for pair in copies.pairs if pair.first.clip_id == "late"]
        assert shifted.lag_s == pytest.approx(-20_000 / SAMPLE_RATE_HZ, abs=0.05)

    def test_a_near_copy_in_the_same_group_is_expected_unless_its_label_differs(self, root: Path) -> None:
        same = _copies(root, _clip("dog"), _clip("late", group="g"), _clip("rain", group="g"))
        assert same.pairs == ()
        other = _copies(root, _clip("dog"), _clip("late", group="g", label="hail"), _clip("rain", group="g"))
        assert _ids(other.pairs) == [("late", "rain", False)]

    def test_many_equal_clips_are_told_once_each(self, root: Path) -> None:
        copies = _copies(root, _clip("rain"), _clip("rain#1"), _clip("rain#2"), _clip("dog"))
        assert _ids(copies.pairs) == [("rain", "rain#1", True), ("rain", "rain#2", True)]

    def test_a_copy_in_a_later_window_of_a_long_clip_is_found_with_its_whole_lag(self, root: Path) -> None:
        noise = 0.001 * np.random.default_rng(0).standard_normal(11 * SAMPLE_RATE_HZ)
        rain = soundfile.read(root / "rain.wav")[0]
        noise[7 * SAMPLE_RATE_HZ :][: len(rain)] += rain[: 4 * SAMPLE_RATE_HZ]
        soundfile.write(root / "long.wav", noise, SAMPLE_RATE_HZ)
        spec = dataclasses.replace(SPEC, windows="all", window_hop_s=2.5)
        (pair,) = find_copies(*_featurized(root, _clip("dog"), _clip("long"), _clip("rain"), spec=spec), SETTINGS).pairs
        assert (pair.first.clip_id, pair.second.clip_id) == ("long", "rain")
        assert pair.lag_s == pytest.approx(-7, abs=0.05)

    def test_variants_are_not_compared(self, root: Path) -> None:
        assert _copies(root, _clip("dog"), _clip("engine")).pairs == ()

    def test_a_quarantined_clip_is_left_out(self, root: Path) -> None:
        (root / "broken.wav").write_text("no audio")
        copies = _copies(root, _clip("dog"), _clip("broken"))
        assert (copies.pairs, copies.num_clips) == ((), 1)

    def test_without_features_there_is_an_error_that_says_what_to_do(self, root: Path) -> None:
        manifest = Manifest(name="data", root=str(root), clips=(_clip("dog"),))
        features = FeatureStore(open_store(str(root / "store")), dataset="data", fingerprint="f")
        with pytest.raises(StorageError, match=r"Run jobs/featurize\.py"):
            find_copies(manifest, features, SETTINGS)


class TestFindings:
    def test_a_conflict_of_labels_is_told_beside_the_copy(self) -> None:
        pair = Pair(first=_clip("a", label="dog"), second=_clip("b", label="cat"))
        exact, conflict = duplicate_findings([pair], SETTINGS)
        assert (exact.kind, conflict.kind) == ("exact_duplicate", "label_conflict")
        assert (conflict.labels, conflict.other_labels, conflict.detail) == (("dog",), ("cat",), "labelled dog and cat")

    def test_the_order_of_labels_is_no_conflict(self) -> None:
        first = dataclasses.replace(_clip("a"), labels=("x", "y"))
        second = dataclasses.replace(_clip("b"), labels=("y", "x"))
        findings = list(duplicate_findings([Pair(first=first, second=second, correlation=0.9)], SETTINGS))
        assert [finding.kind for finding in findings] == ["near_duplicate"]
        assert (findings[0].value, findings[0].threshold) == (0.9, 0.5)

    def test_a_group_and_a_copy_in_two_parts_are_overlaps(self) -> None:
        clips = [_clip("a", group="g"), _clip("b", group="g"), _clip("c"), _clip("d"), _clip("e")]
        manifest = Manifest(name="data", root="/", clips=tuple(clips))
        parts: dict[str, Part] = {"a": "train", "b": "test", "c": "train", "d": "validation", "e": "train"}
        pairs = [Pair(first=clips[2], second=clips[3], correlation=0.8), Pair(first=clips[2], second=clips[4])]
        group, copy = split_findings(manifest, parts, pairs)
        assert {group.clip_id, group.other_clip_id} == {"a", "b"}
        assert group.detail == "one group or recording in test and train"
        assert (copy.clip_id, copy.other_clip_id, copy.value) == ("c", "d", 0.8)
        assert copy.detail == "a near copy in train and validation"

    def test_clips_that_a_split_does_not_have_are_not_judged(self) -> None:
        clips = (_clip("a", group="g"), _clip("b", group="g"))
        manifest = Manifest(name="data", root="/", clips=clips)
        assert list(split_findings(manifest, {"a": "train"}, [Pair(first=clips[0], second=clips[1])])) == []

    def test_only_copies_in_other_groups_conflicts_and_overlaps_are_leaks(self) -> None:
        def finding(kind: str, other_group: str | None = None) -> Finding:
            return Finding(kind=kind, clip_id="a", group="g", labels=(), other_group=other_group)  # type: ignore[arg-type]

        assert is_leak(finding("exact_duplicate", "h"))
        assert not is_leak(finding("exact_duplicate", "g"))
        assert is_leak(finding("label_conflict", "g"))
        assert is_leak(finding("split_overlap", "h"))
        assert not is_leak(finding("silence"))
        assert not is_leak(finding("unreadable"))


class TestSound:
    def test_a_decoder_that_crashes_or_hangs_is_a_finding_and_its_neighbours_have_theirs(self, root: Path) -> None:
        soundfile.write(root / "silent.wav", np.zeros(44_100), 44_100)
        (root / "crash.wav").write_text("do: signal SIGSEGV")
        (root / "hang.wav").write_text("do: hang")
        clips = tuple(_clip(name) for name in ("crash", "engine", "hang", "silent"))
        findings = sound_findings(
            Manifest(name="data", root=str(root), clips=clips),
            DatasetAuditSettings(),
            clip_time_limit_s=3.0,
            decode=obedient_decode,
        )
        assert [(finding.clip_id, finding.kind, finding.measure) for finding in findings] == [
            ("crash", "unreadable", "decoder_crashed"),
            ("hang", "unreadable", "timed_out"),
            ("silent", "silence", "silent_share"),
        ]

    def test_every_fault_is_told_with_its_number_and_bad_files_end_nothing(self, root: Path) -> None:
        soundfile.write(root / "silent.wav", np.zeros(44_100), 44_100)
        soundfile.write(root / "loud.wav", np.clip(3 * np.sin(np.arange(44_100) / 50), -1, 1), 44_100, subtype="FLOAT")
        (root / "text.wav").write_text("no audio")
        clips = tuple(_clip(name) for name in ("engine", "loud", "missing", "silent", "text"))
        calls: list[tuple[int, int]] = []
        findings = list(
            sound_findings(
                Manifest(name="data", root=str(root), clips=clips),
                DatasetAuditSettings(),
                on_progress=lambda done, total: calls.append((done, total)),
            )
        )
        by_clip = {finding.clip_id: finding for finding in findings if finding.kind != "band_limited"}
        assert {clip_id: finding.kind for clip_id, finding in by_clip.items()} == {
            "loud": "clipping",
            "missing": "unreadable",
            "silent": "silence",
            "text": "unreadable",
        }
        assert (by_clip["silent"].measure, by_clip["silent"].value) == ("silent_share", 1.0)
        assert by_clip["missing"].measure == "missing_file"
        assert calls == [(number, 5) for number in range(1, 6)]


class TestAtRest:
    def test_findings_come_back_as_they_were(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        findings = [
            *duplicate_findings([Pair(first=_clip("a"), second=_clip("b", label="x"), correlation=0.7)], SETTINGS),
            Finding(kind="unreadable", clip_id="c", group="c", labels=(), measure="not_audio", detail="<b>"),
        ]
        save_findings(store, findings, dataset="data", fingerprint="f", summary={"n": 1})
        assert load_findings(store, dataset="data", fingerprint="f") == (findings, {"n": 1})

    def test_no_findings_are_a_table_too(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        save_findings(store, [], dataset="data", fingerprint="f", summary={})
        assert load_findings(store, dataset="data", fingerprint="f") == ([], {})

    def test_an_audit_that_never_was_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"Run jobs/audit\.py"):
            load_findings(open_store(str(tmp_path)), dataset="data", fingerprint="f")


def test_the_worst_of_every_kind_comes_first() -> None:
    def finding(kind: str, value: float) -> Finding:
        return Finding(kind=kind, clip_id=f"{value}", group="g", labels=(), value=value)  # type: ignore[arg-type]

    unordered = [finding("band_limited", 0.6), finding("silence", 0.9), finding("band_limited", 0.2)]
    unordered += [finding("silence", 1.0), finding("near_duplicate", 0.6), finding("near_duplicate", 0.8)]
    ordered = [(finding.kind, finding.value) for finding in worst_first(unordered)]
    assert ordered == [
        ("near_duplicate", 0.8),
        ("near_duplicate", 0.6),
        ("silence", 1.0),
        ("silence", 0.9),
        ("band_limited", 0.2),
        ("band_limited", 0.6),
    ]
