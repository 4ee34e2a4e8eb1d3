"""The synthetic birds: a tree as BirdCLEF's, the same bytes from the same seed, interruption, and secondary labels."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs import synthesize
from pipelines.manifest import Manifest
from pipelines.sources import check_tree, read_manifest, synthetic_birds
from pipelines.sources.bird_songs import SAMPLE_RATE_HZ, SPECIES
from pipelines.sources.ogg_pages import with_serial
from pipelines.sources.synthetic_birds import write_synthetic_birds
from storage.errors import InvalidInput


def _audio_bytes(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "train_audio").rglob("*.ogg")}


def _rows(root: Path) -> list[dict[str, str]]:
    with (root / "train.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_birds(tmp_path_factory.mktemp("birds"), num_recordings_per_species=2)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the songs, the only slow part, where a test is about files."""
    monkeypatch.setattr(synthetic_birds, "_synthesise", lambda seed, recording: np.zeros(64))


def _manifest(root: Path) -> Manifest:
    return read_manifest("birdclef", root=str(root), name="birds")


def test_the_birdclef_source_finds_nothing_wrong_with_it(small_root: Path) -> None:
    assert check_tree("birdclef", root=str(small_root)) == []
    manifest = _manifest(small_root)
    assert len(manifest.clips) == 16
    assert manifest.labels == tuple(sorted(SPECIES))


def test_every_recording_is_its_own_group_and_lies_in_the_folder_of_its_first_label(small_root: Path) -> None:
    clips = _manifest(small_root).clips
    assert len({clip.group for clip in clips}) == len(clips)
    assert all(clip.clip_id.partition("/")[0] == clip.labels[0] for clip in clips)


def test_recordings_are_10_to_20_s_of_ogg_vorbis_that_does_not_clip(small_root: Path) -> None:
    for path in (small_root / "train_audio").rglob("*.ogg"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.format, info.subtype) == (SAMPLE_RATE_HZ, 1, "OGG", "VORBIS")
        assert 10.0 <= info.duration <= 20.0
        assert 0.5 < np.abs(soundfile.read(path)[0]).max() < 1.0


@pytest.mark.usefixtures("silent")
def test_about_half_of_the_recordings_have_other_species_behind_the_first_one(tmp_path: Path) -> None:
    clips = _manifest(write_synthetic_birds(tmp_path, num_recordings_per_species=15)).clips
    num_labels = Counter(len(clip.labels) for clip in clips)
    assert num_labels.keys() == {1, 2, 3}
    assert 0.4 < num_labels[1] / len(clips) < 0.6
    assert all(len(set(clip.labels)) == len(clip.labels) for clip in clips)
    as_secondary = Counter(label for clip in clips for label in clip.labels[1:])
    assert as_secondary.keys() == set(SPECIES)


def test_a_secondary_species_is_heard_in_a_part_of_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = next(planned for planned in synthetic_birds._plan(7, 20) if planned.secondary)
    sung: list[int] = []
    bout = synthetic_birds._bout

    def remembered(sing: synthetic_birds.Singer, generator: np.random.Generator, num_samples: int) -> np.ndarray:
        sung.append(num_samples)
        return bout(sing, generator, num_samples)

    monkeypatch.setattr(synthetic_birds, "_bout", remembered)
    num_samples = len(synthetic_birds._synthesise(7, recording))
    assert sung[0] == num_samples
    assert len(sung) == 1 + len(recording.secondary)
    assert all(0.4 * num_samples <= length <= 0.5 * num_samples + 1 for length in sung[1:])


def test_the_same_seed_gives_the_same_bytes_and_a_smaller_set_is_a_subset(small_root: Path, tmp_path: Path) -> None:
    again = write_synthetic_birds(tmp_path, num_recordings_per_species=1)
    larger = _audio_bytes(small_root)
    assert len(_audio_bytes(again)) == 8
    assert all(larger[name] == content for name, content in _audio_bytes(again).items())
    rows = {row["filename"]: row for row in _rows(small_root)}
    assert all(rows[row["filename"]] == row for row in _rows(again))


def test_another_seed_gives_other_sounds(small_root: Path, tmp_path: Path) -> None:
    ours = _audio_bytes(small_root)
    other = _audio_bytes(write_synthetic_birds(tmp_path, seed=8, num_recordings_per_species=1))
    assert all(other[name] != ours[name] for name in other)


@pytest.mark.usefixtures("silent")
def test_an_interrupted_set_is_not_marked_complete_and_is_continued(tmp_path: Path) -> None:
    def stop_after_three(num_done: int, num_recordings: int) -> None:
        assert num_recordings == 8
        if num_done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic_birds(tmp_path, num_recordings_per_species=1, progress=stop_after_three)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.ogg")}
    assert len(first) == 3
    assert not (tmp_path / "train.csv").exists()
    write_synthetic_birds(tmp_path, num_recordings_per_species=1)
    assert len(_audio_bytes(tmp_path)) == len(_rows(tmp_path)) == 8
    assert {path: path.stat().st_mtime_ns for path in first} == first


def test_sets_of_other_parameters_and_recordings_not_made_here_are_refused(small_root: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'seed': 7.*allowed.*'seed': 9.*Choose an empty root"):
        write_synthetic_birds(small_root, seed=9, num_recordings_per_species=2)
    (tmp_path / "train_audio" / "owl").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="not made here"):
        write_synthetic_birds(tmp_path)
    assert not (tmp_path / "synthetic.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, r"seed: got -1; allowed: 0 or more"),
        ({"num_recordings_per_species": 0}, r"num_recordings_per_species: got 0; allowed: 1 to 10000"),
        ({"num_recordings_per_species": 10_001}, r"num_recordings_per_species: got 10001"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        write_synthetic_birds(tmp_path / "set", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "set").exists()


@pytest.mark.usefixtures("silent")
def test_the_job_makes_it(tmp_path: Path) -> None:
    words = ["corpus=birds", f"root={tmp_path}", "num_clips_per_class=1"]
    assert synthesize.main(words) == 0
    assert len(_manifest(tmp_path).clips) == 8


@pytest.mark.parametrize("species", SPECIES)
def test_birds_of_one_species_differ_and_songs_of_one_bird_less(species: str) -> None:
    def centre_hz(bird: int, song: int) -> float:
        waveform = SPECIES[species](np.random.default_rng(bird))(np.random.default_rng(1_000 + song))
        power = np.abs(np.fft.rfft(waveform)) ** 2
        frequency_hz = np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE_HZ)
        assert np.abs(waveform).max() <= 2.0
        return float((power * frequency_hz).sum() / power.sum())

    centres = np.log([[centre_hz(bird, song) for song in range(6)] for bird in range(12)])
    by_chance = centres.std(axis=1).mean() / np.sqrt(6)
    assert centres.mean(axis=1).std() > 1.5 * by_chance > 0


class TestOggPages:
    def test_a_new_serial_number_stands_in_every_page_and_the_sound_is_the_same(self, small_root: Path) -> None:
        path = next((small_root / "train_audio").rglob("*.ogg"))
        before, _ = soundfile.read(path)
        changed = with_serial(path.read_bytes(), 0xABCD1234)
        path = path.parents[2] / "changed.ogg"
        path.write_bytes(changed)
        assert changed.count(bytes.fromhex("3412CDAB")) >= changed.count(b"OggS") > 2
        # libsndfile drops pages whose checksum is wrong.
        assert np.array_equal(soundfile.read(path)[0], before)

    def test_a_page_with_a_wrong_checksum_would_be_noticed(self, small_root: Path) -> None:
        ogg = next((small_root / "train_audio").rglob("*.ogg")).read_bytes()
        assert with_serial(with_serial(ogg, 5), int.from_bytes(ogg[14:18], "little")) == ogg

    def test_what_is_no_ogg_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no Ogg page at byte 0"):
            with_serial(b"RIFF" + bytes(40), 1)
