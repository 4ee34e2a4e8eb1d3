"""jobs/fetch.py against a web server of the test's own: a tree appears whole, or not at all and with one line why."""

import hashlib
import io
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobs import fetch
from pipelines.sources import archive, read_manifest
from storage.object_store import open_store

_META = (
    "filename,fold,target,category,esc10,src_file,take\n1-7-A-0.wav,1,0,dog,True,7,A\n2-8-A-1.wav,2,1,rain,True,8,A\n"
)
_TREE = {
    "ESC-50-master/": "",
    "ESC-50-master/README.md": "about",
    "ESC-50-master/audio/1-7-A-0.wav": "woof" * 1_000,
    "ESC-50-master/audio/2-8-A-1.wav": "drip" * 1_000,
    "ESC-50-master/meta/esc50.csv": _META,
}


def _zip(entries: Mapping[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in entries.items():
            target.writestr(name, content)
    return packed.getvalue()


ARCHIVE = _zip(_TREE)
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


@pytest.fixture
def url(web_site: Any) -> str:
    web_site.files["master.zip"] = ARCHIVE
    return f"{web_site.url}/master.zip"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "esc50"


def refused(url: str, root: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that the job prints; holds that it leaves nothing behind."""
    before = _files(root.parent)
    assert fetch.main([f"url={url}", f"root={root}", *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert _files(root.parent) == before
    return line


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("tells_size", [True, False])
def test_the_tree_is_there_and_nothing_else(
    url: str, root: Path, web_site: Any, capsys: pytest.CaptureFixture[str], tells_size: bool
) -> None:
    web_site.tells_size = tells_size
    assert fetch.main([f"url={url}", f"root={root}"]) == 0
    printed = capsys.readouterr().out
    assert f"sha256 {SHA256} (sha256={SHA256} accepts no other archive)" in printed
    assert "note: 2 clips; ESC-10 has 400" in printed
    assert len(read_manifest("esc50", root=str(root), name="esc50").clips) == 2
    assert (root / "README.md").read_text() == "about"
    assert [path.name for path in root.parent.iterdir()] == ["esc50"]


def test_a_second_run_downloads_nothing(url: str, root: Path, web_site: Any) -> None:
    root.mkdir(parents=True)  # an empty folder is no obstacle
    assert fetch.main([f"url={url}", f"root={root}", f"sha256={SHA256.upper()}"]) == 0
    assert len(web_site.requests) == 1
    assert fetch.main([f"url={url}", f"root={root}", f"sha256={SHA256}"]) == 0
    assert len(web_site.requests) == 1


def test_a_run_stopped_before_its_last_step_leaves_nothing(
    url: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        assert len(list(root.parent.rglob("*.wav"))) == 2  # all is there but not in its place
        raise KeyboardInterrupt

    monkeypatch.setattr(archive.os, "replace", stop)
    assert fetch.main([f"url={url}", f"root={root}"]) == 130
    assert list(root.parent.iterdir()) == []


def test_a_stream_that_breaks_off_is_begun_again(url: str, root: Path, web_site: Any) -> None:
    web_site.cut_after = 100
    assert fetch.main([f"url={url}", f"root={root}", f"sha256={SHA256}"]) == 0
    assert len(web_site.requests) == 2


@pytest.mark.parametrize("place", ["path", "s3"])
def test_the_archive_may_lie_elsewhere(request: pytest.FixtureRequest, root: Path, place: str) -> None:
    store = open_store(request.getfixturevalue("local_uri" if place == "path" else "s3_uri"))
    store.put("my.zip", ARCHIVE)
    assert fetch.main([f"url={store.uri}/my.zip", f"root={root}", f"sha256={SHA256}"]) == 0
    assert (root / "meta" / "esc50.csv").read_text() == _META


def test_another_checksum(url: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(url, root, capsys, f"sha256={'ab' * 32}")
    assert f"sha256 {SHA256}" in line
    assert f"allowed: sha256 {'ab' * 32}" in line


def test_a_checksum_that_is_none(url: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "allowed: 64 hexadecimal digits" in refused(url, root, capsys, "sha256=abc")


@pytest.mark.parametrize("num_bytes", [0, 10, len(ARCHIVE) // 2, len(ARCHIVE) - 1])
def test_a_truncated_archive(
    url: str, root: Path, web_site: Any, capsys: pytest.CaptureFixture[str], num_bytes: int
) -> None:
    web_site.files["master.zip"] = ARCHIVE[:num_bytes]
    assert "allowed: a whole zip archive. Fetch it again" in refused(url, root, capsys)


def test_a_damaged_archive(url: str, root: Path, web_site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as target:
        for name, content in _TREE.items():
            target.writestr(name, content)
    web_site.files["master.zip"] = stored.getvalue().replace(b"woof", b"meow", 1)
    line = refused(url, root, capsys)
    assert "Bad CRC-32" in line
    assert "1-7-A-0.wav" in line


@pytest.mark.parametrize(
    "name", ["../escaped", "ESC-50-master/../../escaped", "/escaped", "a//b", "./a", "..\\escaped", "C:\\escaped"]
)
def test_an_entry_that_leads_out(
    url: str, root: Path, web_site: Any, capsys: pytest.CaptureFixture[str], name: str, tmp_path: Path
) -> None:
    web_site.files["master.zip"] = _zip({**_TREE, name: "out"})
    assert "allowed: an archive whose files stay in their folder" in refused(url, root, capsys)
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_link_is_left_out(url: str, root: Path, web_site: Any) -> None:
    packed = io.BytesIO(ARCHIVE)
    link = zipfile.ZipInfo("ESC-50-master/audio/link.wav")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(packed, "a") as target:
        target.writestr(link, "/etc/passwd")
    web_site.files["master.zip"] = packed.getvalue()
    assert fetch.main([f"url={url}", f"root={root}"]) == 0
    assert sorted(path.name for path in (root / "audio").iterdir()) == ["1-7-A-0.wav", "2-8-A-1.wav"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name(url: str, root: Path, web_site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    packed = io.BytesIO(ARCHIVE)
    with zipfile.ZipFile(packed, "a") as target:
        target.writestr("ESC-50-master/README.md", "again")
    web_site.files["master.zip"] = packed.getvalue()
    assert "allowed: every name once" in refused(url, root, capsys)


@pytest.mark.parametrize(
    ("limit", "value"), [("MAX_ARCHIVE_BYTES", 100), ("MAX_UNPACKED_BYTES", 5_000), ("MAX_ENTRIES", 4)]
)
def test_an_archive_beyond_the_limits(
    url: str,
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
) -> None:
    monkeypatch.setattr(archive, limit, value)
    assert "Do not use this archive" in refused(url, root, capsys)


def test_an_archive_of_something_else(url: str, root: Path, web_site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    web_site.files["master.zip"] = _zip({name: text for name, text in _TREE.items() if "2-8-A" not in name})
    line = refused(url, root, capsys)
    assert "its tree (files that meta/esc50.csv names and audio/ does not have: 1 of 2 (2-8-A-1.wav))" in line
    web_site.files["master.zip"] = _zip({"other/readme": "x", "other/more": "y"})
    assert "its tree (no meta/esc50.csv in it)" in refused(url, root, capsys)


def test_a_missing_archive(web_site: Any, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(f"{web_site.url}/nothing.zip", root, capsys)
    assert "allowed: an archive that is there" in line


def test_a_server_that_fails(url: str, root: Path, web_site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    web_site.answers = [500] * 9
    assert "the server answers 500" in refused(url, root, capsys)


def test_something_else_in_the_way(url: str, root: Path, web_site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root.mkdir(parents=True)
    (root / "mine.txt").write_text("mine")
    assert "allowed: a new or empty folder, or the whole data set. Choose another" in refused(url, root, capsys)
    assert web_site.requests == []


def test_a_place_that_cannot_be_written(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    assert "cannot write" in refused(url, tmp_path / "file" / "esc50", capsys)


def test_a_source_without_a_public_archive(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch.main(["source=emodb", f"root={root}"]) == 2
    assert "source: got 'emodb'; allowed: esc50" in capsys.readouterr().err
    assert fetch.main(["source=esc50"]) == 2
    assert "Give root=<folder>" in capsys.readouterr().err
