"""The token and the keys of S3 and of loggers: they are in no log, result, report, checkpoint or list of processes."""

import base64
import gzip
import io
import json
import logging
import os
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from secret_search import CommandLines, contents_of_folder, contents_of_store, find_secrets

from cluster.session import warn_of_keys
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.object_store import open_store
from storage.parquet import to_parquet
from storage.results_table import ResultsTable

_PROJECT = Path(__file__).parents[2]
_KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAFINDMEINNOLOGATALL",
    "AWS_SECRET_ACCESS_KEY": "find/me+in-no.log/at.all-2f6b1c",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEfindmeinnologatall==",
    "WANDB_API_KEY": "0f1nd0me0in0no0log0at0all0123456789abcde",
}
_TOKEN = "f1ddeadbeef0a11ce0123456789abcde" * 2
_SECRETS = {**_KEYS, "the token": _TOKEN}
_SMOKE = ("--smoke", "sweep.audit.share=0", "cluster.num_cpus=2")

# The main job, which keeps what a private cluster deletes at its end: all that Ray has written.
_KEEPING = """
import shutil, sys
import cluster.session
from jobs import sweep

class Kept:
    @staticmethod
    def rmtree(folder, ignore_errors):
        shutil.copytree(folder, sys.argv[1], ignore=lambda at, names: [n for n in names if n == "sockets"])
        shutil.rmtree(folder, ignore_errors=ignore_errors)

cluster.session.shutil = Kept
sys.exit(sweep.main(sys.argv[2:]))
"""

# One secret in the ways a program leaves it behind, by name: some of these bytes differ from process to process.
_WRITTEN = {
    "as it is": b"password=s3cr/t-key!\n",
    "once in a column": to_parquet(pa.table({"a": ["x"] * 1_000 + ["say s3cr/t-key! once"]})),
    "in a list of a table with other metadata": to_parquet(
        pa.table({"a": [["s3cr/t-key!"]]}).replace_schema_metadata({"b": "c"})
    ),
    "in the metadata of a table": to_parquet(pa.table({"a": [1]}).replace_schema_metadata({"b": "s3cr/t-key!"})),
    "compressed": gzip.compress(b"s3cr/t-key!"),
    **{f"base64 after {len(before)}": base64.b64encode(before + b":s3cr/t-key!:1") for before in (b"a", b"ab", b"abc")},
    "in an address": b"https://s3cr%2Ft-key%21@host",
    "in hexadecimal": b"s3cr/t-key!".hex().encode(),
}


class TestTheSearch:
    """It finds what is there; otherwise its silence would mean nothing."""

    @pytest.mark.parametrize("how", _WRITTEN)
    def test_a_secret_is_found_however_it_is_written(self, how: str) -> None:
        content = _WRITTEN[how]
        assert find_secrets({"the key": "s3cr/t-key!"}, [("a file", content)]) == {"the key in a file"}
        assert find_secrets({"the key": "s3cr/t-kex!"}, [("a file", content)]) == set()

    def test_a_secret_is_found_in_files_archives_and_objects(self, tmp_path: Path) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
            written.writestr("log", "the-secret" * 5)
        (tmp_path / ".hidden").mkdir()
        (tmp_path / ".hidden" / "a.zip").write_bytes(archive.getvalue())
        secrets = {"it": "the-secret"}
        assert find_secrets(secrets, contents_of_folder(tmp_path)) == {"it in .hidden/a.zip"}
        assert find_secrets(secrets, contents_of_store(open_store(str(tmp_path)))) == {"it in .hidden/a.zip"}

    def test_a_secret_is_found_in_the_list_of_processes(self) -> None:
        with CommandLines() as lines:
            subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)", "the-secret"], check=True)
        assert len(find_secrets({"it": "the-secret"}, lines.contents())) == 1


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_sweep_on_a_private_cluster_leaves_no_secret_anywhere(s3_uri: str, tmp_path: Path) -> None:
    recordings = write_synthetic_dataset(tmp_path / "recordings", num_clips_per_class=5)
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True, mode=0o700)
    (home / ".ray" / "auth_token").write_text(_TOKEN)
    (tmp_path / "work").mkdir()
    words = [f"data.root={recordings}", f"storage.uri={s3_uri}", "log.folder=logs", "report.folder=reports", *_SMOKE]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with CommandLines() as lines:
        done = subprocess.run(
            [sys.executable, "-c", _KEEPING, str(tmp_path / "ray"), *words],
            env={**environment, **_KEYS, "HOME": str(home), "PYTHONPATH": str(_PROJECT)},
            cwd=tmp_path / "work",
            capture_output=True,
            timeout=800,
        )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    store = open_store(s3_uri)
    assert ResultsTable(store).read("seeds").num_rows > 0
    places = [
        ("printed", done.stdout + done.stderr),
        *lines.contents(),
        *contents_of_store(store),
        *((name, data) for name, data in contents_of_folder(tmp_path) if name != "home/.ray/auth_token"),
    ]
    names = {name for name, _ in places}
    assert any(name.endswith("raylet.out") for name in names)
    assert any(name.endswith(".html") for name in names)
    assert sum(name.startswith("results/") for name in names) > 10
    assert find_secrets(_SECRETS, places) == set()


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(900)
class TestJobs:
    """Of a head with a job API. Nodes have keys as docs/cluster.md says: in ~/.aws/credentials."""

    @pytest.fixture(scope="class")
    def home(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        home = tmp_path_factory.mktemp("home")
        (home / ".aws").mkdir(mode=0o700)
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        lines = [f"{name.lower()} = {_KEYS[name]}" for name in names]
        (home / ".aws" / "credentials").write_text("\n".join(["[default]", *lines, ""]))
        return home

    @pytest.fixture(scope="class")
    def head(self, s3_server: str, home: Path) -> Iterator[Any]:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(_PROJECT))
            from benchmarks.ray_head import Head

            for name in (*_KEYS, "AWS_ENDPOINT_URL", "RAY_ADDRESS"):
                patch.delenv(name, raising=False)
            patch.setenv("HOME", str(home))
            with Head(num_cpus=2, dashboard=True) as head:
                _wait_for(head)
                yield head

    def test_with_keys_on_the_nodes_none_is_seen(
        self, head: Any, s3_server: str, s3_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recordings = write_synthetic_dataset(tmp_path / "recordings", num_clips_per_class=5)
        words = (f"data.root={recordings}", f"storage.uri={s3_uri}", f"storage.endpoint_url={s3_server}", *_SMOKE)
        with CommandLines() as lines:
            done = _submit(head, "quiet", "python", "jobs/sweep.py", *words)
            seen = [*_seen_by_the_api(head, "quiet")]
        assert done.returncode == 0, done.stdout.decode()[-3000:]
        store = open_store(s3_uri, endpoint_url=s3_server)
        assert ResultsTable(store).read("seeds").num_rows > 0
        files = [(name, data) for name, data in contents_of_folder(head.folder) if name != "token"]
        assert any(name.endswith("runtime_env_agent.log") for name, _ in files)
        places = [("printed", done.stdout), *lines.contents(), *seen, *files, *contents_of_store(store)]
        assert find_secrets({**_KEYS, "the token": head.token}, places) == set()

    def test_keys_that_come_with_the_job_are_told_of_and_not_repeated(self, head: Any, tmp_path: Path) -> None:
        variables = json.dumps({"env_vars": _KEYS})
        code = "from cluster.session import ray_session\nwith ray_session(): print('joined')"
        done = _submit(head, "loud", "python", "-c", code, options=("--runtime-env-json", variables))
        assert done.returncode == 0, done.stdout.decode()[-3000:]
        assert b"AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, WANDB_API_KEY came with the job" in done.stdout
        assert find_secrets(_KEYS, [("printed", done.stdout)]) == set()
        key = {"it": _KEYS["AWS_SECRET_ACCESS_KEY"]}
        assert find_secrets(key, _seen_by_the_api(head, "loud"))  # which is why
        assert any(
            place.endswith("runtime_env_agent.log") for place in find_secrets(key, contents_of_folder(head.folder))
        )


def test_keys_among_a_jobs_variables_are_named(caplog: pytest.LogCaptureFixture) -> None:
    harmless = {"AWS_ENDPOINT_URL": "x", "AWS_SHARED_CREDENTIALS_FILE": "x", "AWS_ACCESS_KEY_ID": "x"}
    for job in ({}, {"runtime_env": None}, {"runtime_env": {"env_vars": harmless}}):
        warn_of_keys(job)
    assert caplog.records == []
    warn_of_keys({"runtime_env": {"env_vars": {**harmless, **_KEYS, "MY_PASSWORD": "hush"}}})
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, MY_PASSWORD, WANDB_API_KEY came")
    assert find_secrets({**_KEYS, "word": "hush"}, [("told", record.getMessage().encode())]) == set()


def _submit(
    head: Any, name: str, *entrypoint: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    words = ("--address", head.url, "--submission-id", name, "--working-dir", str(_PROJECT), *options)
    return subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", *words, "--", *entrypoint],
        env={**os.environ, **head.environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"},
        cwd=head.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
    )


def _seen_by_the_api(head: Any, name: str) -> Iterator[tuple[str, bytes]]:
    """What who has the token is told of jobs, actors, tasks, workers and environments."""
    lists = (
        f"api/v0/{what}?detail=true&limit=1000" for what in ("actors", "tasks", "workers", "runtime_envs", "nodes")
    )
    for path in (f"api/jobs/{name}", "api/jobs/", *lists):
        request = urllib.request.Request(f"{head.url}/{path}", headers={"Authorization": f"Bearer {head.token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            yield path, answer.read()


def _wait_for(head: Any) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            assert list(_seen_by_the_api(head, ""))
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the job API does not answer")
