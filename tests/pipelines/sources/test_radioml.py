"""The RadioML source: one clip for each example of either file, and what it says of files that are none."""

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from radioml_files import tiny_2016, write_2016, write_2018

from pipelines.sources import check_tree, radioml, read_manifest
from pipelines.sources.radioml import CLASSES_2018, _Published
from storage.errors import InvalidInput
from storage.object_store import ObjectStore, open_store


def test_every_example_of_the_pickle_is_a_clip_and_a_group_of_its_own(tmp_path: Path, store: ObjectStore) -> None:
    store.put("RML2016.10a_dict.pkl", write_2016(tmp_path / "x.pkl", tiny_2016()).read_bytes())
    manifest = read_manifest("radioml", root=store.uri, name="radio")
    assert len(manifest.clips) == 12
    assert manifest.labels == ("AM-DSB", "QPSK")
    (clip,) = (clip for clip in manifest.clips if clip.clip_id == "QPSK/10/2")
    assert clip.uri == "RML2016.10a_dict.pkl#QPSK/10/2"
    assert (clip.labels, clip.columns) == (("QPSK",), {"snr_db": 10})
    assert clip.size_bytes == (tmp_path / "x.pkl").stat().st_size
    assert {clip.group for clip in manifest.clips} == {clip.clip_id for clip in manifest.clips}


def test_every_row_of_the_hdf5_file_is_a_clip(tmp_path: Path, store: ObjectStore) -> None:
    store.put("GOLD.hdf5", write_2018(tmp_path / "x.hdf5").read_bytes())
    manifest = read_manifest("radioml", root=store.uri, name="radio")
    assert [clip.uri for clip in manifest.clips] == [f"GOLD.hdf5#{row}" for row in range(30)]  # in the file's order
    assert [clip.labels[0] for clip in manifest.clips[:24]] == list(CLASSES_2018)
    assert manifest.clips[3].columns == {"snr_db": -14}


def test_the_classes_are_those_of_the_paper() -> None:
    assert len(set(CLASSES_2018)) == 24
    assert [CLASSES_2018[number] for number in (0, 3, 12, 17, 20, 23)] == [
        "OOK",
        "BPSK",
        "16QAM",
        "AM-SSB-WC",
        "AM-DSB-SC",
        "OQPSK",
    ]


def test_the_root_may_be_the_file_or_its_folder(tmp_path: Path) -> None:
    path = write_2016(tmp_path / "radio.pkl", tiny_2016())
    (tmp_path / "LICENSE.TXT").write_text("…")
    by_file, by_folder = (read_manifest("radioml", root=str(root), name="radio") for root in (path, tmp_path))
    assert by_file == by_folder


def test_the_root_on_s3_may_be_the_file(tmp_path: Path, s3_uri: str) -> None:
    open_store(s3_uri).put("radio.pkl", write_2016(tmp_path / "x.pkl", tiny_2016()).read_bytes())
    assert len(read_manifest("radioml", root=f"{s3_uri}/radio.pkl", name="radio").clips) == 12


class TestRefusals:
    def test_a_pickle_that_would_run_something_is_refused_and_not_run(self, tmp_path: Path) -> None:
        touch = tmp_path / "was_run"
        (tmp_path / "radio.pkl").write_bytes(f"cos\nsystem\n(S'touch {touch}'\ntR.".encode())
        with pytest.raises(InvalidInput, match=r"radio\.pkl is none of RadioML: a pickle that asks for os\.system"):
            read_manifest("radioml", root=str(tmp_path), name="radio")
        assert not touch.exists()
        assert check_tree("radioml", root=str(tmp_path)) == [
            "radio.pkl is none of RadioML: a pickle that asks for os.system"
        ]

    def test_what_a_hostile_pickle_says_is_told_in_short_and_printable(self, tmp_path: Path) -> None:
        (tmp_path / "radio.pkl").write_bytes(b"cos\n\x1b[2Jsystem" + b"x" * 10_000 + b"\n.")
        (words,) = check_tree("radioml", root=str(tmp_path))
        assert words.isprintable()
        assert len(words) < 300

    def test_a_root_without_a_file_or_with_several_is_refused(self, tmp_path: Path) -> None:
        _assert_refused(tmp_path / "nowhere", "no such folder")
        _assert_refused(tmp_path / "nowhere.pkl", "no file nowhere.pkl")
        _assert_refused(tmp_path, "no .pkl, .h5 or .hdf5 file in it")
        for name in ("a.pkl", "b.hdf5"):
            (tmp_path / name).write_bytes(b"")
        _assert_refused(tmp_path, "several files: a.pkl, b.hdf5; name one of them")

    def test_names_that_no_uri_could_hold_are_refused(self, tmp_path: Path) -> None:
        write_2016(tmp_path / "radio.pkl", {("a/b", 0): tiny_2016()["QPSK", 10]})
        _assert_refused(tmp_path, "modulations whose names are not letters, digits, + and -: 1 ('a/b')")

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("X", None, "no dataset X in the file itself"),
            ("X", np.zeros((30, 1024, 3), dtype=np.float32), "datasets of the shapes"),
            ("X", np.zeros(30), "X of float64 with the shape (30,)"),
            ("Y", np.eye(11, dtype=np.int64)[np.zeros(30, dtype=int)], "Y has 11 columns"),
            ("Y", np.zeros((30, 24), dtype=np.int64), "rows of Y that are not one-hot: 30 (0, 1, 2 and 27 more)"),
            ("Y", np.full((30, 24), 1 / 24), "not one-hot"),
            ("Z", np.zeros((29, 1), dtype=np.int64), "datasets of the shapes"),
            ("Z", np.array([[b"loud"]] * 30), "Z of |S4"),
        ],
    )
    def test_an_hdf5_file_of_another_kind_is_refused(self, name: str, value: Any, said: str, tmp_path: Path) -> None:
        with h5py.File(write_2018(tmp_path / "radio.hdf5"), "a") as file:
            del file[name]
            if value is not None:
                file[name] = value
        _assert_refused(tmp_path, said)

    def test_an_hdf5_file_that_leads_to_another_file_is_refused(self, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        secret = write_2018(elsewhere / "secret.hdf5")
        for number, link in enumerate((h5py.ExternalLink(str(secret), "X"), h5py.SoftLink("/Z"))):
            folder = tmp_path / str(number)
            folder.mkdir()
            with h5py.File(write_2018(folder / "radio.hdf5"), "a") as file:
                del file["X"]
                file["X"] = link
            _assert_refused(folder, "no dataset X in the file itself")

    def test_an_hdf5_file_whose_samples_lie_in_other_files_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "raw.bin").write_bytes(bytes(30 * 1024 * 2 * 4))
        view = h5py.VirtualLayout(shape=(30, 1024, 2), dtype="f4")
        view[:] = h5py.VirtualSource(str(tmp_path / "other.hdf5"), "X", shape=(30, 1024, 2))
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            with h5py.File(write_2018(folder / "radio.hdf5"), "a") as file:
                del file["X"]
                if number == 0:
                    outside = [(str(tmp_path / "raw.bin"), 0, h5py.h5f.UNLIMITED)]
                    file.create_dataset("X", (30, 1024, 2), "f4", external=outside)
                else:
                    file.create_virtual_dataset("X", view)
            _assert_refused(folder, "no dataset X in the file itself")

    @pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
    def test_what_is_no_hdf5_file_is_refused(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "radio.h5").write_bytes(content)
        _assert_refused(tmp_path, "radio.h5 is none of RadioML")

    def test_an_hdf5_file_that_was_cut_off_is_refused(self, tmp_path: Path) -> None:
        path = write_2018(tmp_path / "radio.hdf5")
        path.write_bytes(path.read_bytes()[:-1000])
        _assert_refused(tmp_path, "radio.hdf5 is none of RadioML")


class TestCheck:
    def test_a_file_as_published_is_sound(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(radioml._PUBLISHED, "pickle", _Published("tiny", range(-2, 22, 12), 3, 2, 128))
        write_2016(tmp_path / "radio.pkl", tiny_2016())
        assert check_tree("radioml", root=str(tmp_path)) == []

    def test_what_is_unlike_the_published_file_is_told(self, tmp_path: Path) -> None:
        arrays = tiny_2016()
        (tmp_path / "radio.pkl").write_bytes(pickle.dumps({**arrays, ("QPSK", 11): arrays["QPSK", 10][:, :, :64]}))
        words = check_tree("radioml", root=str(tmp_path))
        assert words[:2] == ["2 modulations; 2016.10A has 11", "examples of [64, 128] samples; in 2016.10A of 128"]
        assert words[2].startswith("SNRs that 2016.10A has and this has not: 18 (-20 dB, -18 dB, -16 dB and 15 more)")
        assert words[3] == "SNRs that 2016.10A has not: 1 (11 dB)"
        assert words[4].startswith("modulations and SNRs without 1,000 examples: 4 (AM-DSB at -2 dB: 3,")

    def test_the_counts_of_the_hdf5_file_are_told(self, tmp_path: Path) -> None:
        write_2018(tmp_path / "radio.hdf5")
        words = check_tree("radioml", root=str(tmp_path))
        assert words[0] == "SNRs that 2018.01A has not: 4 (32 dB, 34 dB, 36 dB and 1 more)"
        assert words[1].startswith("modulations and SNRs without 4,096 examples: 624 (")


def test_the_counts_are_those_of_the_papers() -> None:
    sizes = {
        published.name: published.num_modulations * len(published.snrs_db) * published.num_examples
        for published in radioml._PUBLISHED.values()
    }
    assert sizes == {"2016.10A": 220_000, "2018.01A": 2_555_904}


def _assert_refused(root: Path, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_manifest("radioml", root=str(root), name="radio")
    assert said in str(refused.value)
