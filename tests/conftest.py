"""Fixtures shared by all tests: the stores, an S3 server over real HTTP on loopback, and corpora a machine may have."""

import os
import re
import subprocess
import sys
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from storage.object_store import ObjectStore, open_store

# Nothing here asserts an absolute time, and a busy machine is no failure.
hypothesis.settings.register_profile("melsweep", deadline=None)
hypothesis.settings.load_profile("melsweep")

_ROOT = Path(__file__).parents[1]
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test-access-key",
    "AWS_SECRET_ACCESS_KEY": "test-secret-key",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Endpoint of an S3 server; boto3 finds it and its credentials in the environment, in child processes too."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    server._server.app = _one_at_a_time(server._server.app)
    host, port = server.get_host_and_port()
    endpoint_url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**_CREDENTIALS, "AWS_ENDPOINT_URL": endpoint_url}.items():
            environment.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            environment.delenv(name, raising=False)
        yield endpoint_url
    server.stop()


@pytest.fixture(scope="session")
def _s3_client(s3_server: str) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=s3_server)


@pytest.fixture
def s3_uri(_s3_client: Any) -> str:
    """A prefix in a fresh bucket."""
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    _s3_client.create_bucket(Bucket=bucket)
    return f"s3://{bucket}/prefix"


@pytest.fixture(scope="session")
def ray_local(s3_server: str) -> Iterator[None]:
    """A private Ray of two cores for the whole test session; its workers inherit the S3 server's address and keys."""
    from cluster.session import ray_session

    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("RAY_ADDRESS", raising=False)
        with ray_session(num_cpus=2):
            yield


@pytest.fixture
def local_uri(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """An empty store of each kind."""
    return open_store(request.getfixturevalue(f"{request.param}_uri"))


@dataclass
class WebSite:
    """Files on a web server of the test's own, and how it behaves."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    gives_ranges: bool = True
    tells_size: bool = True
    claimed_size: int | None = None  # told instead of the true one
    answers: list[int] = field(default_factory=list)  # statuses given to the next requests, before all else
    cut_after: int | None = None  # bytes after which the next whole answer breaks off
    requests: list[tuple[str, str]] = field(default_factory=list)  # (path, Range header)


@pytest.fixture
def web_site(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebSite]:
    """An http server on loopback; the pauses between attempts are taken out."""
    monkeypatch.setattr("pipelines.files.web_file._PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = WebSite()
    handler = type("_Handler", (_WebHandler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()


class _WebHandler(BaseHTTPRequestHandler):
    site: WebSite

    def do_GET(self) -> None:
        site, wanted = self.site, self.headers.get("Range", "")
        site.requests.append((self.path, wanted))
        content = site.files.get(urllib.parse.unquote(self.path).lstrip("/"))
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
        if site.answers:
            self._answer(site.answers.pop(0), b"")
        elif content is None:
            self._answer(404, b"")
        elif part and site.gives_ranges and int(part[1]) >= len(content):
            self._answer(416, b"", f"bytes */{len(content)}")
        elif part and site.gives_ranges:
            start, end = int(part[1]), min(int(part[2]) + 1, len(content))
            self._answer(206, content[start:end], f"bytes {start}-{end - 1}/{len(content)}")
        else:
            self._answer(200, content)

    def _answer(self, status: int, body: bytes, part: str = "") -> None:
        cut_after, self.site.cut_after = self.site.cut_after, None
        self.send_response(status)
        if self.site.tells_size:
            self.send_header(
                "Content-Length", str(len(body) if self.site.claimed_size is None else self.site.claimed_size)
            )
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
        try:
            self.wfile.write(body[:cut_after])
        except (BrokenPipeError, ConnectionResetError):
            pass  # a client that has seen enough

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def esc50_root() -> Path:
    """The folder of an unpacked ESC-50, where there is one."""
    root = os.environ.get("ESC50_ROOT")
    if not root:
        pytest.skip("ESC50_ROOT does not name a folder with ESC-50")
    return Path(root)


@pytest.fixture
def race_processes() -> Callable[..., list[str]]:
    """Starts Python processes with the same code, lets them loose at one moment, and returns what each printed.

    The code sees its arguments in `sys.argv[1:]` and calls `wait_for_start()` once it is ready.
    """

    def race(code: str, *arguments: str, num_processes: int) -> list[str]:
        prelude = "import sys\ndef wait_for_start():\n    print('ready', flush=True); sys.stdin.readline()\n"
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", prelude + code, *arguments, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=_ROOT,
            )
            for number in range(num_processes)
        ]
        try:
            for process in processes:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            printed = [process.communicate(timeout=60)[0].strip() for process in processes]
            assert [process.returncode for process in processes] == [0] * num_processes
            return printed
        finally:
            for process in processes:
                process.kill()
                process.wait()

    return race


def _one_at_a_time(app: Callable[..., Any]) -> Callable[..., Any]:
    # moto 5.2.5 looks for the key and stores it in two steps, so that of 16 racing conditional writes two may win
    # (3 of 80 rounds with a short thread switch interval, 2026-11-21). S3 promises one winner.
    lock = threading.Lock()

    def serve(*arguments: Any) -> Any:
        with lock:
            return app(*arguments)

    return serve
