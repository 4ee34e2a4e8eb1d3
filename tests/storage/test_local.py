"""A store on the local disk: writers that race, die or fail, and what lies in the way of a key."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from store_toys import keys_of

from storage.errors import ObjectNotFound, StorageError
from storage.local import LocalObjectStore
from storage.object_store import open_store, probe

_RACE = """
from storage.object_store import open_store
store = open_store(sys.argv[1])
wait_for_start()
print(*[key for key in range(60) if store.put_if_absent(f"folder/{key}", sys.argv[2].encode())])
"""

_KILLED = """
import os, signal, sys
from storage.object_store import open_store
os.replace = os.link = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
getattr(open_store(sys.argv[1]), sys.argv[2])("folder/key", b"half")
"""


class TestLocalStore:
    def test_of_racing_processes_exactly_one_wins(
        self, local_uri: str, race_processes: Callable[..., list[str]]
    ) -> None:
        printed = race_processes(_RACE, local_uri, num_processes=6)
        winners = [(int(key), number) for number, keys in enumerate(printed) for key in keys.split()]
        assert sorted(key for key, _ in winners) == list(range(60))
        store = open_store(local_uri)
        assert all(store.get(f"folder/{key}") == b"%d" % number for key, number in winners)
        assert len(list(Path(local_uri, "folder").iterdir())) == 60

    @pytest.mark.parametrize("method", ["put", "put_if_absent"])
    def test_the_left_overs_of_a_killed_writer_do_no_harm(self, local_uri: str, method: str) -> None:
        killed = subprocess.run(
            [sys.executable, "-c", _KILLED, local_uri, method], cwd=Path(__file__).parents[2], check=False
        )
        assert killed.returncode == -signal.SIGKILL
        assert len(list(Path(local_uri, ".unfinished").iterdir())) == 1  # it did leave something
        assert list(Path(local_uri, "folder").iterdir()) == []
        store = open_store(local_uri)
        assert keys_of(store) == keys_of(store, "folder/k") == []
        with pytest.raises(ObjectNotFound):
            store.get("folder/key")
        assert store.put_if_absent("folder/key", b"whole")
        assert keys_of(store) == ["folder/key"]

    @pytest.mark.parametrize("method", ["put", "put_if_absent"])
    def test_the_left_overs_of_killed_writers_are_cleared_away_when_they_are_old(
        self, local_uri: str, method: str
    ) -> None:
        store, folder = LocalObjectStore(Path(local_uri)), Path(local_uri, ".unfinished")
        store.clear_unfinished()  # there is no such folder yet
        store.put("folder/other", b"whole")
        command = [sys.executable, "-c", _KILLED, local_uri, method]
        subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
        (left,) = folder.iterdir()
        store.clear_unfinished()
        assert list(folder.iterdir()) == [left]  # somebody may be writing it
        os.utime(left, (time.time() - 100_000,) * 2)
        store.clear_unfinished()
        assert list(folder.iterdir()) == []
        assert keys_of(store) == ["folder/other"]

    def test_a_failed_write_leaves_nothing(self, local_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def full_disk(*_: object) -> None:
            raise OSError(28, "No space left on device")

        store = open_store(local_uri)
        store.put("key", b"old")
        monkeypatch.setattr(os, "fsync", full_disk)
        with pytest.raises(StorageError, match=f"{local_uri}: No space left.*disk not full"):
            store.put("key", b"new")
        monkeypatch.undo()
        assert store.get("key") == b"old"
        assert [path.name for path in Path(local_uri).rglob("*") if path.is_file()] == ["key"]

    @pytest.mark.parametrize("made_before", [[], ["store/results/trials"]])
    def test_every_folder_above_an_object_is_on_the_disk_when_it_is_written(
        self, tmp_path: Path, made_before: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Names of folders are lost with the power unless the folder above them was synced."""
        for name in made_before:  # by another process, perhaps this moment
            (tmp_path / "new" / name).mkdir(parents=True)
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
        store = open_store(str(tmp_path / "new" / "store"))
        assert store.put_if_absent("results/trials/sweep=a/t0", b"x")
        above = [tmp_path, *(tmp_path / name for name in ("new", "new/store", "new/store/results"))]
        above += [tmp_path / f"new/store/results/{name}" for name in ("trials", "trials/sweep=a")]
        first = 2 if made_before else 0  # the store's own folder was there
        assert {path.stat().st_ino for path in above[first:]} <= set(synced)

    def test_later_writes_into_a_folder_sync_it_alone(self, local_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        store = open_store(local_uri)
        store.put("a/b/first", b"x")
        store.put("a/c/first", b"x")
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
        store.put("a/b/second", b"x")
        assert synced == [Path(local_uri, "a/b/second").stat().st_ino, Path(local_uri, "a/b").stat().st_ino]

    @pytest.mark.parametrize("method", ["put", "put_if_absent"])
    def test_an_object_is_as_old_as_its_place(
        self, local_uri: str, method: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A writer may have slept since it wrote the bytes; what else has happened meanwhile came before."""
        monkeypatch.setattr(os, "fsync", lambda descriptor: os.utime(descriptor, (0, 0)))
        store = open_store(local_uri)
        getattr(store, method)("folder/key", b"x")
        (info,) = store.list("")
        assert info.modified_at > 1e9

    def test_what_an_older_version_left_unfinished_is_no_object(self, local_uri: str) -> None:
        store = open_store(local_uri)
        store.put("folder/key.parquet", b"whole")
        Path(local_uri, "folder", ".unfinished-0123-other.parquet").write_bytes(b"half")
        assert keys_of(store) == keys_of(store, "folder/") == ["folder/key.parquet"]

    def test_a_file_in_the_place_of_its_folder_is_named(self, local_uri: str) -> None:
        Path(local_uri).write_text("not a folder")
        for call in (lambda: open_store(local_uri).put("key", b"x"), lambda: probe(open_store(local_uri))):
            with pytest.raises(StorageError, match=f"{local_uri}: .*Check that the folder is writable"):
                call()

    def test_an_object_cannot_take_the_place_of_a_folder(self, local_uri: str) -> None:
        store = open_store(local_uri)
        store.put("folder/key", b"x")
        for write in (store.put, store.put_if_absent):
            with pytest.raises(StorageError, match="cannot write 'folder'"):
                write("folder", b"x")
        assert keys_of(store) == ["folder/key"]

    def test_an_unreadable_folder_is_not_an_empty_one(self, local_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        store = open_store(local_uri)
        store.put("folder/key", b"x")
        monkeypatch.setattr(os, "scandir", refuse)  # root may read everything, so permissions cannot be taken away
        with pytest.raises(StorageError, match=f"{local_uri}: Permission denied"):
            keys_of(store)

    def test_a_symbolic_link_does_not_lead_out(self, local_uri: str, tmp_path: Path) -> None:
        store = open_store(local_uri)
        store.put("key", b"x")
        Path(local_uri, "link").symlink_to(tmp_path)
        with pytest.raises(StorageError, match="symbolic link"):
            store.put("link/escaped", b"x")
        assert not (tmp_path / "escaped").exists()

    def test_a_file_uri_is_a_path(self, local_uri: str) -> None:
        open_store(f"file://{local_uri}").put("key", b"x")
        assert open_store(local_uri).get("key") == b"x"
