"""The audit finds every exact overlap, and says what it could not compare."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

from pipelines.audits.leak_audit import Overlap, audit_tables, read_clip_table
from storage.errors import InvalidInput

RATE_HZ = 8_000


def _table(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=str)


def _by_kind(overlaps: list[Overlap]) -> dict[str, Overlap]:
    assert [overlap.kind for overlap in overlaps] == ["clip id", "group", "identical audio"]
    return {overlap.kind: overlap for overlap in overlaps}


def _audit(first: pd.DataFrame, second: pd.DataFrame, **arguments: Any) -> dict[str, Overlap]:
    return _by_kind(audit_tables(first, second, **arguments))


class TestTheBaselineStudy:
    """Four pictures of each of 2,000 clips, one original and three variants, divided picture by picture, 80 to 20."""

    def test_a_split_by_image_is_found_to_share_clip_ids(self) -> None:
        images = self._images()
        random.Random(0).shuffle(images)
        held_out = len(images) // 5
        overlap = _audit(self._as_table(images[held_out:]), self._as_table(images[:held_out]))["clip id"]
        both = {clip_id for clip_id, _ in images[held_out:]} & {clip_id for clip_id, _ in images[:held_out]}
        assert overlap.column == "clip_id"
        assert set(overlap.shared) == both
        # The study found 1,171; a fair draw leaves 2,000 × (1 - 0.8⁴ - 0.2⁴) = 1,178 clips in both on average.
        assert len(both) == pytest.approx(1_178, abs=80)
        assert overlap.share_of_second == pytest.approx(len(both) / overlap.num_second)

    def test_a_split_by_clip_shares_none(self) -> None:
        images = self._images()
        held_out = {f"clip-{number}" for number in random.Random(0).sample(range(2_000), 400)}
        train = [image for image in images if image[0] not in held_out]
        validation = [image for image in images if image[0] in held_out]
        overlap = _audit(self._as_table(train), self._as_table(validation))["clip id"]
        assert (overlap.num_first, overlap.num_second, overlap.shared) == (1_600, 400, ())

    @staticmethod
    def _images() -> list[tuple[str, str]]:
        variants = ("original", "noise", "pitch_2", "stretch_0.9")
        clips = [f"clip-{number}" for number in range(2_000)]
        return [(clip_id, f"{clip_id}_{variant}.png") for clip_id in clips for variant in variants]

    @staticmethod
    def _as_table(images: list[tuple[str, str]]) -> pd.DataFrame:
        return _table(image=[image for _, image in images], clip_id=[clip_id for clip_id, _ in images])


class TestColumns:
    @pytest.mark.parametrize("column", ["clip_id", "filename", "file", "path", "image"])
    def test_clip_ids_are_found_by_the_usual_names(self, column: str) -> None:
        found = _audit(_table(**{column: ["a", "b"]}), _table(**{column: ["b", "c", "d"]}))["clip id"]
        assert (found.column, found.num_first, found.num_second, found.shared) == (column, 2, 3, ("b",))
        assert found.share_of_second == pytest.approx(1 / 3)

    @pytest.mark.parametrize("column", ["group", "src_file", "recording_id", "speaker"])
    def test_groups_are_found_by_the_usual_names(self, column: str) -> None:
        first = _table(**{"clip_id": ["a", "b"], column: ["007", "8"]})
        second = _table(**{"clip_id": ["c", "d"], column: ["007", "7"]})
        found = _audit(first, second)
        assert (found["group"].column, found["group"].shared) == (column, ("007",))
        assert found["clip id"].shared == ()

    def test_a_given_column_goes_before_the_usual_ones(self) -> None:
        first = _table(clip_id=["a"], take=["x"], site=["s"])
        second = _table(clip_id=["b"], take=["x"], site=["s"])
        found = _audit(first, second, id_column="take", group_column="site")
        assert (found["clip id"].shared, found["group"].shared) == (("x",), ("s",))

    def test_only_a_column_that_both_have_is_compared(self) -> None:
        first = _table(clip_id=["a"], filename=["x.wav"])
        second = _table(filename=["x.wav"])
        assert _audit(first, second)["clip id"].shared == ("x.wav",)

    def test_a_column_that_one_file_lacks_is_not_compared_rather_than_zero(self) -> None:
        found = _audit(_table(clip_id=["a"], group=["g"]), _table(clip_id=["a"]))["group"]
        assert found.not_compared == "not compared: no such column"
        assert found.share_of_second is None

    def test_a_given_column_that_one_file_lacks_is_not_compared(self) -> None:
        found = _audit(_table(clip_id=["a"], site=["s"]), _table(clip_id=["b"]), group_column="site")["group"]
        assert found.not_compared == "not compared: no such column"

    def test_a_given_column_that_neither_file_has_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(InvalidInput, match=r"group_column: got 'spaeker'.*Did you mean 'speaker'\?"):
            audit_tables(_table(speaker=["a"]), _table(speaker=["a"]), group_column="spaeker")

    def test_files_with_nothing_to_compare_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match=r"got 'columns x and clip_id'.*Name it with id_column"):
            audit_tables(_table(x=["a"]), _table(clip_id=["a"]))

    def test_stems_and_variants_are_not_guessed(self) -> None:
        found = _audit(_table(filename=["a.wav"]), _table(filename=["a_noise.wav"]))["clip id"]
        assert found.shared == ()

    def test_empty_cells_match_nothing_and_are_counted(self) -> None:
        found = _audit(_table(clip_id=["a", "", ""]), _table(clip_id=["", "b"]))["clip id"]
        assert (found.shared, found.num_empty_first, found.num_empty_second) == ((), 2, 1)

    def test_a_second_file_without_rows_has_no_share(self) -> None:
        found = _audit(_table(clip_id=["a"]), _table(clip_id=[]))["clip id"]
        assert (found.num_second, found.share_of_second) == (0, None)


class TestAudio:
    def test_equal_audio_under_other_names_and_in_other_containers_is_found(self, tmp_path: Path) -> None:
        for name in ("a.wav", "copy.wav", "b.flac"):
            soundfile.write(tmp_path / name, _noise(seed=0), RATE_HZ, subtype="PCM_16")
        soundfile.write(tmp_path / "other.wav", _noise(seed=1), RATE_HZ, subtype="PCM_16")
        first, second = _table(filename=["a.wav"]), _table(filename=["b.flac", "copy.wav", "other.wav"])
        found = _audit(first, second, audio_root=str(tmp_path))
        assert found["clip id"].shared == ()
        audio = found["identical audio"]
        assert (audio.num_first, audio.num_second, audio.shared) == (1, 2, ("a.wav = b.flac",))

    def test_the_shortest_clip_is_hashed_too(self, tmp_path: Path) -> None:
        for name in ("a.wav", "b.wav"):
            soundfile.write(tmp_path / name, _noise(seed=0)[:80], RATE_HZ)
        found = _audit(_table(file=["a.wav"]), _table(file=["b.wav"]), audio_root=str(tmp_path))["identical audio"]
        assert found.shared == ("a.wav = b.wav",)

    def test_missing_and_undecodable_files_are_named_and_the_others_compared(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", _noise(seed=0), RATE_HZ)
        (tmp_path / "text.wav").write_text("no audio at all")
        (tmp_path / "empty.wav").write_bytes(b"")
        first = _table(filename=["a.wav", "text.wav", "missing.wav"])
        second = _table(filename=["a.wav", "empty.wav"])
        found = _audit(first, second, audio_root=str(tmp_path))["identical audio"]
        assert found.unreadable == ("empty.wav: empty_file", "missing.wav: missing_file", "text.wav: not_audio")
        assert (found.num_first, found.num_second, found.shared) == (1, 1, ("a.wav = a.wav",))

    def test_audio_of_which_nothing_can_be_read_is_not_compared(self, tmp_path: Path) -> None:
        found = _audit(_table(filename=["a.wav"]), _table(filename=["b.wav"]), audio_root=str(tmp_path))
        assert found["identical audio"].not_compared == "not compared: no readable audio"
        assert found["identical audio"].unreadable == ("a.wav: missing_file", "b.wav: missing_file")

    def test_without_a_root_or_a_column_audio_is_not_compared(self, tmp_path: Path) -> None:
        first, second = _table(clip_id=["a"]), _table(clip_id=["b"])
        assert "no audio_root" in _audit(first, second)["identical audio"].not_compared
        assert "no such column" in _audit(first, second, audio_root=str(tmp_path))["identical audio"].not_compared

    def test_parts_of_one_file_are_told_apart(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "long.wav", np.concatenate([_noise(seed=0), _noise(seed=1)]), RATE_HZ)
        soundfile.write(tmp_path / "cut.wav", _noise(seed=1), RATE_HZ)
        first = _table(uri=["long.wav", "long.wav"], offset_s=["0", "1"], duration_s=["1", "1"])
        second = _table(uri=["cut.wav", "long.wav"], offset_s=["", "0"], duration_s=["", "0.5"])
        found = _audit(first, second, audio_root=str(tmp_path))["identical audio"]
        assert found.shared == ("long.wav = cut.wav",)

    def test_every_file_is_hashed_once_and_progress_counts_them(self, tmp_path: Path) -> None:
        for name in ("a.wav", "b.wav"):
            soundfile.write(tmp_path / name, _noise(seed=0), RATE_HZ)
        calls: list[tuple[int, int]] = []
        audit_tables(
            _table(filename=["a.wav", "a.wav"]),
            _table(filename=["a.wav", "b.wav"]),
            audio_root=str(tmp_path),
            on_progress=lambda done, total: calls.append((done, total)),
        )
        assert calls == [(1, 2), (2, 2)]


class TestReading:
    def test_every_cell_is_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("clip_id,group\n007,NA\n,1e3\n")
        table = read_clip_table(str(tmp_path / "a.csv"), field="first")
        assert table.to_dict("list") == {"clip_id": ["007", ""], "group": ["NA", "1e3"]}

    @pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n\xff\xfe\x00", b'clip_id\n"a\n'])
    def test_what_is_no_csv_is_refused(self, tmp_path: Path, content: bytes | None) -> None:
        if content is not None:
            (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(InvalidInput, match=r"second: got .*a\.csv.*; allowed: a CSV file\. \w+") as caught:
            read_clip_table(str(tmp_path / "a.csv"), field="second")
        assert "\n" not in str(caught.value)


def _noise(*, seed: int) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-20_000, 20_000, RATE_HZ, dtype=np.int16)
