"""Folders of Ray Tune's own files: none stays behind for longer than until the next sweep, and none goes too early."""

import errno
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sweeps import tune_folder as tune_folder_module
from sweeps.tune_folder import delete_left_behind, tune_folder

# The file alone, as a sweep's other modules take seconds to import.
_HOLD = """
import runpy, sys
module = runpy.run_path(sys.argv[1])
with module["tune_folder"]() as folder:
    open(folder + "/trial", "w").close()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made in these tests."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@contextmanager
def holder() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process with a folder of its own, and the folder."""
    command = [sys.executable, "-c", _HOLD, str(tune_folder_module.__file__)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_a_folder_goes_with_its_sweep_also_one_that_is_interrupted(tmp: Path) -> None:
    with suppress(KeyboardInterrupt), tune_folder() as folder:
        (Path(folder) / "trial").touch()
        assert Path(folder).parent == tmp
        raise KeyboardInterrupt
    assert list(tmp.iterdir()) == []


def test_one_whose_process_was_killed_goes_with_the_next_sweep(tmp: Path) -> None:
    with holder() as (process, left):
        process.kill()
        process.wait()
        assert (left / "trial").exists()
        with tune_folder() as folder:
            assert [str(path) for path in tmp.iterdir()] == [folder]


def test_one_whose_process_runs_is_not_touched(tmp: Path) -> None:
    with holder() as (_, theirs), tune_folder() as ours:
        delete_left_behind(tmp)
        assert (theirs / "trial").exists()
        assert Path(ours).exists()


def test_what_others_have_in_the_same_place_is_not_touched(tmp: Path) -> None:
    (tmp / "melsweep-tune-older").mkdir()
    (tmp / "melsweep-search-file").touch()
    (tmp / "elsewhere").mkdir()
    (tmp / "melsweep-search-link").symlink_to(tmp / "elsewhere")
    before = sorted(tmp.iterdir())
    delete_left_behind(tmp)
    assert sorted(tmp.iterdir()) == before


def test_where_there_are_no_locks_a_sweep_has_a_folder_all_the_same(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr("fcntl.flock", refuse)
    (tmp / "melsweep-search-theirs").mkdir()
    with tune_folder() as folder:
        assert Path(folder).is_dir()
    assert [path.name for path in tmp.iterdir()] == ["melsweep-search-theirs"]


def test_a_folder_that_another_sweep_deletes_before_it_is_locked_is_made_anew(
    tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tempfile.mkdtemp
    num_made = 0

    def make(**arguments: str) -> str:
        nonlocal num_made
        folder, num_made = made(**arguments), num_made + 1
        if num_made == 1:
            delete_left_behind(tmp)
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", make)
    with tune_folder() as folder:
        assert Path(folder).is_dir()
    assert num_made == 2
