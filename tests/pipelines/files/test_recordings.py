"""The door to the recordings: the same answers from a disk, S3 and the web, and errors that tell whose fault it is."""

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines.files.block_file import BLOCK_BYTES
from pipelines.files.recordings import Recordings
from storage.errors import InvalidInput, ObjectNotFound, StorageError, UnreadableFile
from storage.object_store import open_store
from storage.s3 import S3ObjectStore

FILES = {"a.wav": b"aa", "b/c.wav": b"ccc", "b/d/e.wav": b"", "b-1.wav": b"1", "table.csv": b"uri,label\n"}
HIDDEN = (".DS_Store", "b/._c.wav", ".cache/x.wav")
LONG = bytes(range(256)) * (3 * BLOCK_BYTES // 256) + b"the end"


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest) -> str:
    uri: str = request.getfixturevalue(f"{request.param}_uri")
    store = open_store(uri)
    for path, content in FILES.items():
        store.put(path, content)
    for path in HIDDEN:
        store.put(path, b"hidden")
    return uri


@pytest.fixture(params=["local", "s3", "web", "web without ranges"])
def anywhere(request: pytest.FixtureRequest) -> Callable[[str, bytes], str]:
    """Puts a file somewhere and returns its absolute uri."""
    if request.param.startswith("web"):
        site = request.getfixturevalue("web_site")
        site.gives_ranges = request.param == "web"

        def put(name: str, content: bytes) -> str:
            site.files[name] = content
            return f"{site.url}/{name}"
    else:
        store = open_store(request.getfixturevalue(f"{request.param}_uri"))

        def put(name: str, content: bytes) -> str:
            store.put(name, content)
            return f"{store.uri}/{name}"

    return put


class TestTree:
    def test_all_files_are_listed_by_path_with_their_sizes_but_hidden_ones(self, root: str) -> None:
        found = Recordings(root).list()
        assert found == {path: len(content) for path, content in FILES.items()}
        assert list(found) == sorted(FILES)

    @pytest.mark.parametrize("prefix", ["b/", "b", "b/c", "b/d/", "nothing/", "a.wav"])
    def test_a_prefix_is_the_beginning_of_a_path(self, root: str, prefix: str) -> None:
        assert list(Recordings(root).list(prefix)) == sorted(path for path in FILES if path.startswith(prefix))

    def test_relative_and_absolute_uris_are_the_same_file(self, root: str) -> None:
        recordings = Recordings(root)
        for uri in ("b/c.wav", recordings.uri("b/c.wav")):
            assert recordings.read(uri) == b"ccc"
            assert recordings.open(uri).read() == b"ccc"
            assert recordings.size_bytes(uri) == 3
            assert recordings.exists(uri)

    def test_a_file_uri_is_a_path(self, local_uri: str) -> None:
        open_store(local_uri).put("a.wav", b"aa")
        recordings = Recordings(f"file://{local_uri}")
        assert recordings.root == local_uri
        assert recordings.read(f"file://{local_uri}/a.wav") == b"aa"

    def test_a_root_exists_when_something_lies_there(self, root: str) -> None:
        assert Recordings(root).root_exists()
        assert not Recordings(f"{root}/nowhere").root_exists()
        assert Recordings(f"{root}/nowhere").list() == {}

    def test_a_root_that_is_a_file_has_a_parent(self, root: str) -> None:
        folder, name = Recordings(f"{root}/table.csv").parent()
        assert (folder.root, name) == (Recordings(root).root, "table.csv")

    def test_they_can_be_pickled_after_use(self, root: str) -> None:
        recordings = Recordings(root)
        recordings.read("a.wav")
        again = pickle.loads(pickle.dumps(recordings))
        assert again.read("a.wav") == b"aa"
        assert (again.root, again.endpoint_url) == (recordings.root, recordings.endpoint_url)

    def test_sizes_of_many_files_at_once(self, root: str, web_site: Any) -> None:
        web_site.files["x.wav"] = b"12345"
        uris = ["a.wav", "missing.wav", f"{web_site.url}/x.wav", f"{web_site.url}/y.wav", "b/d/e.wav", "bad\0.wav"]
        assert Recordings(root).sizes([*uris, "a.wav"]) == dict(zip(uris, (2, None, 5, None, 0, None), strict=True))


def test_what_a_console_makes_for_folders_on_s3_are_no_files(s3_uri: str) -> None:
    store = S3ObjectStore(s3_uri)
    store.put("b/c.wav", b"ccc")
    for key in ("prefix/", "prefix/b/", "prefix/empty/"):
        store.client.put_object(Bucket=s3_uri.split("/")[2], Key=key, Body=b"")
    assert Recordings(s3_uri).list() == {"b/c.wav": 3}


class TestDisk:
    def test_links_to_files_and_folders_are_followed(self, local_uri: str, tmp_path: Path) -> None:
        open_store(str(tmp_path / "elsewhere")).put("deep/x.wav", b"xx")
        tree = Path(local_uri)
        tree.mkdir()
        (tree / "file.wav").symlink_to(tmp_path / "elsewhere" / "deep" / "x.wav")
        (tree / "first").symlink_to(tmp_path / "elsewhere")
        (tree / "second").symlink_to(tmp_path / "elsewhere")
        assert Recordings(local_uri).list() == {"file.wav": 2, "first/deep/x.wav": 2, "second/deep/x.wav": 2}

    def test_a_link_to_a_folder_above_ends(self, local_uri: str) -> None:
        open_store(local_uri).put("b/c.wav", b"ccc")
        (Path(local_uri) / "b" / "round").symlink_to(local_uri)
        assert Recordings(local_uri).list() == {"b/c.wav": 3}

    def test_links_that_lead_nowhere_are_told_apart(self, local_uri: str, tmp_path: Path) -> None:
        open_store(local_uri).put("a.wav", b"aa")
        (Path(local_uri) / "dead.wav").symlink_to(tmp_path / "nowhere.wav")
        (Path(local_uri) / "self.wav").symlink_to("self.wav")
        recordings = Recordings(local_uri)
        assert recordings.list() == {"a.wav": 2}
        assert recordings.walk() == (("a.wav", 2), ("dead.wav", None), ("self.wav", None))

    def test_a_folder_that_cannot_be_read_is_not_an_empty_one(
        self, local_uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        open_store(local_uri).put("b/c.wav", b"ccc")
        whole = os.scandir

        def refuse(path: str) -> Any:
            if path.endswith("/b"):
                raise PermissionError(13, "Permission denied", path)
            return whole(path)

        monkeypatch.setattr(os, "scandir", refuse)  # root may read everything, so permissions cannot be taken away
        with pytest.raises(StorageError, match=r"cannot list .*/b: Permission denied\. Make it readable"):
            Recordings(local_uri).list()

    def test_a_name_that_is_no_utf8_is_refused(self, local_uri: str) -> None:
        os.makedirs(local_uri)
        with open(os.path.join(os.fsencode(local_uri), b"caf\xe9.wav"), "wb"):
            pass
        with pytest.raises(InvalidInput, match=r"caf\\+udce9\.wav.*allowed: file names in UTF-8\. Rename"):
            Recordings(local_uri).list()


class TestOneFile:
    def test_it_is_read_whole_and_in_parts(self, anywhere: Callable[[str, bytes], str], tmp_path: Path) -> None:
        uri = anywhere("long file ü.bin", LONG)
        recordings = Recordings(str(tmp_path))
        assert recordings.read(uri) == LONG
        assert recordings.size_bytes(uri) == len(LONG)
        with recordings.open(uri) as file:
            assert file.read(10) == LONG[:10]
            file.seek(BLOCK_BYTES - 3)
            assert file.read(6) == LONG[BLOCK_BYTES - 3 : BLOCK_BYTES + 3]
            assert file.seek(-7, io.SEEK_END) == len(LONG) - 7
            assert file.read() == b"the end"
            assert file.read() == b""
            assert file.seek(5) == file.tell() == 5
            assert file.read() == LONG[5:]

    def test_an_empty_file_is_a_file(self, anywhere: Callable[[str, bytes], str], tmp_path: Path) -> None:
        uri = anywhere("empty.wav", b"")
        recordings = Recordings(str(tmp_path))
        assert (recordings.read(uri), recordings.open(uri).read(), recordings.size_bytes(uri)) == (b"", b"", 0)
        assert recordings.exists(uri)

    def test_a_missing_file_is_told_as_missing(self, anywhere: Callable[[str, bytes], str], tmp_path: Path) -> None:
        uri = anywhere("there.wav", b"x").replace("there", "not-there")
        recordings = Recordings(str(tmp_path))
        for call in (recordings.read, recordings.open):
            with pytest.raises(ObjectNotFound, match=r"not-there\.wav"):
                call(uri)
        assert recordings.size_bytes(uri) is None
        assert not recordings.exists(uri)

    def test_a_sound_is_decoded_out_of_an_open_file(
        self, anywhere: Callable[[str, bytes], str], tmp_path: Path
    ) -> None:
        samples = np.random.default_rng(0).uniform(-0.5, 0.5, 40_000)
        encoded = io.BytesIO()
        soundfile.write(encoded, samples, 8_000, format="WAV", subtype="DOUBLE")
        with Recordings(str(tmp_path)).open(anywhere("x.wav", encoded.getvalue())) as file:
            part, _ = soundfile.read(file, start=30_000, frames=100)
        assert np.array_equal(part, samples[30_000:30_100])

    def test_only_the_blocks_that_are_read_are_fetched_from_the_web(self, web_site: Any, tmp_path: Path) -> None:
        web_site.files["x.bin"] = LONG
        with Recordings(str(tmp_path)).open(f"{web_site.url}/x.bin") as file:
            for _ in range(3):
                file.seek(2 * BLOCK_BYTES + 5)
                assert file.read(100) == LONG[2 * BLOCK_BYTES + 5 :][:100]
        wanted = [wanted for _, wanted in web_site.requests]
        assert wanted == ["bytes=0-0", f"bytes={2 * BLOCK_BYTES}-{3 * BLOCK_BYTES - 1}"]

    def test_only_the_blocks_that_are_read_are_fetched_from_s3(
        self, s3_uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(s3_uri)
        store.put("x.bin", LONG)
        asked = []
        fetch = type(store).get_range

        def watched(self: Any, key: str, start: int, length: int) -> bytes:
            asked.append((start, length))
            return fetch(self, key, start, length)

        monkeypatch.setattr(type(store), "get_range", watched)
        with Recordings(s3_uri).open("x.bin") as file:
            file.seek(-7, io.SEEK_END)
            assert file.read() == b"the end"
        assert asked == [(3 * BLOCK_BYTES, 7)]

    @pytest.mark.parametrize(
        "uri",
        ["folder", "nul\0.wav", "gs://bucket/x", "x" * 300, "http://exa mple:port/x", "http://a..b/x", "http://[x/y"],
    )
    def test_what_cannot_be_read_here_says_why(self, local_uri: str, uri: str) -> None:
        open_store(local_uri).put("folder/x.wav", b"x")
        recordings = Recordings(local_uri)
        for call in (recordings.read, recordings.open, recordings.size_bytes):
            with pytest.raises(UnreadableFile, match="cannot read") as caught:
                call(uri)
            assert local_uri not in caught.value.reason
            assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason

    def test_a_key_that_s3_cannot_have_is_the_fault_of_its_row(self, s3_uri: str) -> None:
        for uri in ("../x.wav", "a//b.wav", "s3://", "s3:///x.wav"):
            with pytest.raises(UnreadableFile, match="no plain key"):
                Recordings(s3_uri).read(uri)


class TestS3:
    def test_the_endpoint_may_be_given(
        self, s3_uri: str, s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        open_store(s3_uri).put("x.wav", b"12345")
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        assert Recordings(s3_uri, endpoint_url=s3_server).list() == {"x.wav": 5}
        elsewhere = Recordings(str(tmp_path), endpoint_url=s3_server)
        assert elsewhere.read(f"{s3_uri}/x.wav") == b"12345"
        assert pickle.loads(pickle.dumps(elsewhere)).size_bytes(f"{s3_uri}/x.wav") == 5

    def test_a_bucket_that_does_not_exist_is_no_missing_file(self, s3_server: str, tmp_path: Path) -> None:
        recordings = Recordings(str(tmp_path))
        for call in (recordings.read, recordings.open, recordings.size_bytes, recordings.exists):
            with pytest.raises(StorageError, match="bucket of s3://no-such-bucket") as caught:
                call("s3://no-such-bucket/x.wav")
            assert not isinstance(caught.value, ObjectNotFound | UnreadableFile)


@pytest.mark.parametrize("root", ["gs://bucket", "http://host/tree", "s3://", "s3:///prefix"])
def test_a_root_of_another_form_is_refused(root: str) -> None:
    with pytest.raises(InvalidInput, match=r"data\.root: got '.*s3://bucket/prefix"):
        Recordings(root)


def test_an_endpoint_that_is_no_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"data\.endpoint_url: got 'localhost:9000'; allowed: http://host:port"):
        Recordings(str(tmp_path), endpoint_url="localhost:9000")
