"""The temporary folder of Ray Tune's own files, which nobody reads again; it goes with the sweep.

A process that is killed leaves its folder behind, and the next sweep on the machine deletes it. Whoever uses a folder
holds a lock on it, which the operating system lets go of when the process ends, however it ends.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Another one than older versions had: they held no locks, so that nobody knows of their folders who still uses them.
_PREFIX = "melsweep-search-"


@contextlib.contextmanager
def tune_folder() -> Iterator[str]:
    """A new folder that is deleted at the end; folders of processes that ended without doing so are deleted before."""
    delete_left_behind(Path(tempfile.gettempdir()))
    with contextlib.ExitStack() as stack:
        folder = _new_folder(stack)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield str(folder)


def delete_left_behind(parent: Path) -> None:
    """Deletes the folders whose lock nobody holds; those of other users, which cannot be opened, are left alone."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = _lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _new_folder(stack: contextlib.ExitStack) -> Path:
    """A folder whose lock is held until the stack is closed, where the file system has locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            stack.callback(os.close, _lock(folder))
        except (FileNotFoundError, BlockingIOError):
            continue  # before it was locked, another process took it for one left behind
        except OSError:
            return folder
        if folder.exists():  # likewise
            return folder


def _lock(folder: Path) -> int:
    """A descriptor that holds the lock until it is closed.

    Raises:
        BlockingIOError: another one holds it.
        OSError: there are no locks here, or the folder is none of ours.
    """
    if sys.platform == "win32":
        raise OSError("Windows has no locks of folders")
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
