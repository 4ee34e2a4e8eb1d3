"""Many processes on one S3 that fails, answers or acts late, and are killed: every row once and whole, no error."""

import json
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from faulty_proxy import FAULTS
from s3_servers import ministack
from table_writers import TABLES, TIMEOUT_S, acknowledged, check, planned

from storage.object_store import open_store, probe
from storage.results_table import ResultsTable

_TOYS = Path(__file__).parents[1] / "toys"


@contextmanager
def faulty(endpoint_url: str, *, seed: int, share: float, done: dict[str, int]) -> Iterator[str]:
    """The endpoint of a proxy before the server; `done` is filled with what it did once it has ended."""
    upstream = urllib.parse.urlsplit(endpoint_url).netloc
    process = subprocess.Popen(
        [sys.executable, str(_TOYS / "faulty_proxy.py"), upstream, str(seed), str(share), str(1.5 * TIMEOUT_S)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        done.update(json.loads(process.communicate(timeout=30)[0]))
    finally:
        process.kill()
        process.wait()


def run_writers(endpoint_url: str, bucket: str, folder: Path, *counts: int) -> None:
    seed = counts[-1]
    done: dict[str, int] = {}
    with faulty(endpoint_url, seed=seed, share=0.05, done=done) as spoilt_url:
        words = [str(_TOYS / "table_writers.py"), f"s3://{bucket}/prefix", spoilt_url, str(folder), *map(str, counts)]
        ended = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, cwd=_TOYS.parents[1], timeout=600
        )
    errors = {path.name: path.read_text() for path in folder.glob("error-*")}
    looks = (folder / "looks").read_text() if (folder / "looks").exists() else "none"
    outcomes = [path.read_text() for path in folder.glob("outcomes-*")]
    print(f"seed {seed}: killed {ended.stdout.strip()}, looks {looks}, compactions {outcomes}, requests {done}")
    assert ended.returncode == 0, (errors, ended.stderr)
    assert all(done[fault] for fault in FAULTS)  # this seed draws each of them within the first hundred requests
    assert int(looks) > 0


def check_everything(endpoint_url: str, bucket: str, folder: Path, *, num_writers: int, num_commits: int) -> None:
    wanted = {commit for number in range(num_writers) for commit in planned(number, num_commits)}
    assert acknowledged(folder) == wanted
    results = ResultsTable(open_store(f"s3://{bucket}/prefix", endpoint_url=endpoint_url))
    for table in TABLES:
        check(results, table, {(sweep_id, commit) for name, sweep_id, commit in wanted if name == table})
        found = results.read(table, columns=["sweep_id", "trial_id"]).to_pydict()
        rows = set(zip(found["sweep_id"], found["trial_id"], strict=True))
        assert rows == {(sweep_id, commit) for name, sweep_id, commit in wanted if name == table}


@pytest.mark.parametrize(
    ("server", "num_writers", "num_commits", "num_kills"),
    [
        ("moto", 3, 4, 2),
        pytest.param("moto", 16, 16, 25, marks=pytest.mark.slow),
        pytest.param("ministack", 16, 16, 25, marks=pytest.mark.slow),
    ],
)
def test_every_acknowledged_row_is_there_once(
    server: str, num_writers: int, num_commits: int, num_kills: int, s3_server: str, tmp_path: Path
) -> None:
    folder, seed, bucket = tmp_path / "notes", 20261105, f"writers-{num_writers}"
    folder.mkdir()

    def run(endpoint_url: str) -> None:
        boto3.client("s3", endpoint_url=endpoint_url).create_bucket(Bucket=bucket)
        probe(open_store(f"s3://{bucket}", endpoint_url=endpoint_url))
        run_writers(endpoint_url, bucket, folder, num_writers, num_commits, num_kills, seed)
        check_everything(endpoint_url, bucket, folder, num_writers=num_writers, num_commits=num_commits)

    if server == "moto":
        run(s3_server)
    else:
        with ministack(tmp_path) as endpoint_url:
            run(endpoint_url)
