"""S3 servers other than moto, which a machine may have installed, started on loopback and ended by their own handle.

`ministack` (PyPI; seen: 1.5.33) is an S3 of its own that honours conditional writes. `nanio` (PyPI; 0.1.7) and `s3rver`
(npm; 3.7.1) ignore them. None of them is needed; a test that finds none is skipped.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_BESIDE_PYTHON = str(Path(sys.executable).parent)


@contextlib.contextmanager
def ministack(folder: Path) -> Iterator[str]:
    """Its endpoint, as all of these yield."""
    settings = {"BIND_HOST": "127.0.0.1", "SERVICES": "s3", "LOG_LEVEL": "ERROR", "TMPDIR": str(folder)}
    with _served("ministack", lambda port: [], lambda port: {**settings, "GATEWAY_PORT": str(port)}) as endpoint_url:
        yield endpoint_url


@contextlib.contextmanager
def nanio(folder: Path) -> Iterator[str]:
    """Takes the keys of the session fixture `s3_server`."""
    keys = {"NANIO_ACCESS_KEY": "test-access-key", "NANIO_SECRET_KEY": "test-secret-key"}
    words = ["serve", "--data-dir", str(folder), "--host", "127.0.0.1", "--no-access-log", "--port"]
    with _served("nanio", lambda port: [*words, str(port)], lambda port: keys) as endpoint_url:
        yield endpoint_url


@contextlib.contextmanager
def s3rver(folder: Path) -> Iterator[str]:
    """Knows one pair of keys, S3RVER and S3RVER."""
    words = ["-d", str(folder), "-a", "127.0.0.1", "-s", "--no-vhost-buckets", "--allow-mismatched-signatures", "-p"]
    with _served("s3rver", lambda port: [*words, str(port)], lambda port: {}) as endpoint_url:
        yield endpoint_url


@contextlib.contextmanager
def _served(
    name: str, words: Callable[[int], list[str]], environment: Callable[[int], dict[str, str]]
) -> Iterator[str]:
    program = shutil.which(name, path=os.pathsep.join([_BESIDE_PYTHON, os.environ.get("PATH", "")]))
    if program is None:
        pytest.skip(f"{name}, an S3 server, is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, *words(port)],
        env={**os.environ, **environment(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the S3 server ended at its start"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("the S3 server does not listen")
