"""The audit of a data set and the look at the data, as a person runs them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from radioml_files import tiny_2016, write_2016

from jobs import audit, featurize, inspect_data
from pipelines.sources import read_manifest
from pipelines.sources.synthetic import write_synthetic_dataset
from pipelines.splits import SplitSettings, draw_split
from storage.findings import FINDINGS_SCHEMA, KINDS
from storage.object_store import open_store
from storage.split import save_split


@pytest.fixture(scope="module")
def clean_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_dataset(tmp_path_factory.mktemp("synthetic") / "data", num_clips_per_class=5)


@pytest.fixture
def tree(clean_tree: Path, tmp_path: Path) -> Path:
    """A small ESC-50 tree of which this test may change files."""
    return Path(shutil.copytree(clean_tree, tmp_path / "data"))


def _plant_copy(tree: Path) -> tuple[str, str]:
    """Puts a clip of fold 1 in the place of one of fold 5 and of another class, half a second later."""
    table = pd.read_csv(tree / "meta" / "esc50.csv", dtype=str)
    original = table[(table["fold"] == "1") & (table["category"] == "rain")].iloc[0]["filename"]
    place = table[(table["fold"] == "5") & (table["category"] == "engine")].iloc[0]["filename"]
    samples, rate_hz = soundfile.read(tree / "audio" / original)
    shifted = np.concatenate([np.zeros(rate_hz // 2), samples])[: len(samples)]
    soundfile.write(tree / "audio" / place, 0.5 * shifted, rate_hz)
    return Path(original).stem, Path(place).stem


def _words(tree: Path, tmp_path: Path, *more: str) -> list[str]:
    return [f"data.root={tree}", f"storage.uri={tmp_path}/store", f"report.folder={tmp_path}/reports", *more]


@pytest.mark.usefixtures("ray_local")
class TestAudit:
    def test_a_planted_copy_is_a_near_duplicate_a_conflict_and_an_overlap(
        self, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        planted = set(_plant_copy(tree))
        (tree / "audio" / sorted(path.name for path in (tree / "audio").iterdir())[10]).write_text("no audio")
        assert featurize.main(_words(tree, tmp_path)[:2]) == 0
        capsys.readouterr()
        assert audit.main(_words(tree, tmp_path, "examples=1")) == 1
        printed = capsys.readouterr()
        assert printed.err == ""
        (stored,) = (tmp_path / "store" / "audits").glob("*/*/findings.parquet")
        table = pd.read_parquet(stored)
        assert list(table.columns) == FINDINGS_SCHEMA.names
        assert set(table["kind"]) <= set(KINDS)
        for kind in ("near_duplicate", "label_conflict", "split_overlap"):
            (row,) = table[table["kind"] == kind].to_dict("records")
            assert {row["clip_id"], row["other_clip_id"]} == planted
        assert table[table["kind"] == "unreadable"]["measure"].tolist() == ["not_audio"]
        summary = json.loads((stored.parent / "summary.json").read_text())
        assert (summary["num_clips"], summary["num_clips_compared"], summary["num_quarantined"]) == (50, 49, 1)
        (page,) = (tmp_path / "reports").glob("*-audit.html")
        assert page.read_text() == (stored.parent / "page.html").read_text()
        assert "Label conflicts (1)" in page.read_text()

    def test_a_clean_data_set_on_s3_ends_with_0_and_is_not_decoded_when_told_so(
        self, tree: Path, tmp_path: Path, s3_uri: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = [f"data.root={tree}", f"storage.uri={s3_uri}"]
        assert featurize.main(words) == 0
        assert audit.main([*words, f"report.folder={tmp_path}/reports", "audit.recordings=false"]) == 0
        assert "check sound" not in capsys.readouterr().out

    def test_a_stored_split_is_audited_by_its_hash(
        self, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _plant_copy(tree)
        assert featurize.main(_words(tree, tmp_path)[:2]) == 0
        manifest = read_manifest("esc50", root=str(tree), name="data")
        split = draw_split(manifest, SplitSettings(test_folds=(1, 5)))  # the copy and its original in one part
        save_split(open_store(f"{tmp_path}/store"), split)
        words = _words(tree, tmp_path, "audit.recordings=false", "examples=0")
        assert audit.main([*words, f"split_hash={split.split_hash}"]) == 1  # still a near duplicate and a conflict
        assert f"(stored, {split.split_hash})" in capsys.readouterr().out
        (stored,) = (tmp_path / "store" / "audits").glob("*/*/findings.parquet")
        assert set(pd.read_parquet(stored)["kind"]) == {"near_duplicate", "label_conflict"}
        assert audit.main([*words, "split_hash=0123456789abcdef"]) == 2
        assert "has no split 0123456789abcdef" in capsys.readouterr().err

    def test_a_data_set_too_small_to_split_is_audited_without_unless_a_split_was_asked_for(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        soundfile.write(tmp_path / "a.wav", np.zeros(44_100), 44_100)
        (tmp_path / "clips.csv").write_text("uri,label\na.wav,dog\n")
        words = [f"data.root={tmp_path}/clips.csv", "data.source=csv", f"storage.uri={tmp_path}/store"]
        assert featurize.main(words) == 0
        words.append(f"report.folder={tmp_path}/reports")
        assert audit.main(words) == 0
        printed = capsys.readouterr().out
        assert "split: not checked, as none can be drawn by default (split.num_parts: 5" in printed
        assert audit.main([*words, "split.num_parts=4"]) == 2
        assert "split.num_parts: got 4" in capsys.readouterr().err

    def test_iq_samples_are_compared_for_equal_ones_and_the_rest_is_said_in_words(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arrays = tiny_2016()
        arrays["QPSK", 10][2] = arrays["AM-DSB", -2][0]
        write_2016(tmp_path / "RML2016.10a_dict.pkl", arrays)
        words = ["data.source=radioml", f"data.root={tmp_path}", f"storage.uri={tmp_path}/store"]
        words += ["features.representation=iq_channels", "features.sample_rate_hz=1000000", "features.window_s=128e-6"]
        words += ["features.n_fft=16", "features.hop_samples=8", "features.min_duration_s=0"]
        assert featurize.main(words) == 0
        capsys.readouterr()
        assert audit.main([*words, f"report.folder={tmp_path}/reports"]) == 1  # equal samples with two labels
        printed = capsys.readouterr().out
        assert "check sound" not in printed
        assert "near duplicate: not checked: IQ samples" in printed
        (stored,) = (tmp_path / "store" / "audits").glob("*/*/findings.parquet")
        assert {"exact_duplicate", "label_conflict"} <= set(pd.read_parquet(stored)["kind"])
        summary = json.loads((stored.parent / "summary.json").read_text())
        assert summary["not_checked"].keys() == {"near_duplicate", "silence", "clipping", "band_limited", "unreadable"}
        (page,) = (tmp_path / "reports").glob("*-audit.html")
        assert "IQ samples are no sound" in page.read_text()


class TestBadInput:
    def test_without_features_the_audit_says_what_to_do(
        self, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert audit.main(_words(tree, tmp_path)) == 2
        errors = capsys.readouterr().err
        assert "Run jobs/featurize.py with the same settings" in errors
        assert errors.count("\n") == 1

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "Give data.root=<tree> and storage.uri=…, or first=<file.csv> second=<file.csv>."),
            (["first=a.csv", "data.root=x"], "allowed: a data set or two CSV files"),
            (["storage.uri=x"], "error: data.root: got ''"),
            (["data.root=x", "audit.sound.clipped_run=0"], "audit.sound.clipped_run: got 0; allowed: 1 or more"),
            (["data.root=x", "examples=51"], "examples: got 51; allowed: from 0 to 50"),
            (["data.root=x", "audit.near_duplicates.min_corelation=1"], "Did you mean"),
        ],
    )
    def test_it_is_one_line_and_ends_with_2(
        self, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert audit.main(words) == 2
        errors = capsys.readouterr().err
        assert message in errors
        assert errors.count("\n") == 1

    def test_a_look_at_the_data_refuses_settings_out_of_range(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert inspect_data.main(["clips_per_label=0"]) == 2
        assert "clips_per_label: got 0; allowed: 1 or more" in capsys.readouterr().err

    def test_a_look_at_iq_samples_says_what_would_tell_about_them(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_2016(tmp_path / "RML2016.10a_dict.pkl", tiny_2016())
        assert inspect_data.main(["data.source=radioml", f"data.root={tmp_path}"]) == 2
        assert "data.source: got 'radioml'; allowed: a source of sound recordings" in capsys.readouterr().err


class TestLook:
    def test_the_page_shows_clips_of_every_class_and_needs_no_features(
        self, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        broken = sorted((tree / "audio").iterdir())[0]
        broken.write_text("no audio")
        assert inspect_data.main(_words(tree, tmp_path, "clips_per_label=5", "excerpt_s=1")) == 0
        assert "50 files read, 1 of them cannot be decoded" in capsys.readouterr().out
        (page,) = (tmp_path / "reports").glob("*-data.html")
        text = page.read_text()
        assert text.count("<audio") == 49
        assert "cannot be read: not_audio" in text
        assert not (tmp_path / "store").exists()

    def test_the_same_seed_draws_the_same_page(self, tree: Path, tmp_path: Path) -> None:
        pages = []
        for seed in (0, 0, 1):
            words = _words(tree, tmp_path, "clips_per_label=1", "excerpt_s=0.2", f"seed={seed}")
            assert inspect_data.main(words) == 0
            pages.append(next((tmp_path / "reports").glob("*-data.html")).read_text())
        assert pages[0] == pages[1]
        assert pages[0] != pages[2]

    def test_the_page_is_bounded(self, tree: Path, tmp_path: Path) -> None:
        assert inspect_data.main(_words(tree, tmp_path, "max_clips=4", "excerpt_s=0.2", "max_files_read=7")) == 0
        text = next((tmp_path / "reports").glob("*-data.html")).read_text()
        assert text.count("<audio") == 4
        assert "6 classes with fewer clips are not shown" in text
        assert "7 clips drawn at random" in text


@pytest.mark.parametrize("job", [audit.main, inspect_data.main])
def test_help_tells_settings_and_exit_codes(job: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(job)
    assert job(["--help"]) == 0
    printed = capsys.readouterr().out
    assert "Exit code" in printed
    assert "data.root=" in printed
