"""What Prometheus is told of a real sweep on a real head, held against what the results table and the store have."""

import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.ray_head import Head
from cluster.metrics import (
    CLIPS,
    METRICS,
    QUARANTINED_CLIPS,
    RUNG_DECISIONS,
    S3_BYTES,
    SEED_EPOCHS,
    TRIALS,
    Metric,
)
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore, open_store
from storage.results import results

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

_PROJECT = Path(__file__).parents[2]
_SETTINGS = (
    *("sweep.architectures=[cnn,alexnet]", "sweep.num_trials=3", "sweep.epochs=3", "sweep.grace_epochs=1"),
    *("sweep.seeds=[1,2]", "sweep.audit.share=1", "sweep.confirm.best=0"),
    *("sweep.max_concurrent_trials=2", "pipeline.num_actors=2"),
)
_RUNGS = (1, 3)
# Labels of ours, and those that Ray and its exporter put to every series.
_OURS = {"features", "sweep", "architecture", "state", "decision", "direction"}
_OF_RAY = {"Component", "JobId", "NodeAddress", "SessionName", "Version", "WorkerId", "NodeId", "IsHeadNode"}
_OF_EXPORTER = {"otel_scope_name", "otel_scope_version", "otel_scope_schema_url"}

Labels = frozenset[tuple[str, str]]


@dataclass(kw_only=True)
class Scraped:
    """What the endpoint has told so far: series → labels of ours → value, summed over processes."""

    url: str
    newest: dict[str, dict[Labels, float]] = field(default_factory=lambda: defaultdict(dict))
    labels: set[str] = field(default_factory=set)

    def look(self) -> None:
        with urllib.request.urlopen(self.url, timeout=60) as answer:
            text = answer.read().decode()
        found: dict[str, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if "melsweep" in sample.name:
                    self.labels |= set(sample.labels)
                    ours = frozenset((name, value) for name, value in sample.labels.items() if name in _OURS)
                    found[sample.name][ours] += sample.value
        for name, values in found.items():
            self.newest[name] |= values

    def of(self, metric: Metric, **tags: str) -> float:
        """The sum over all series with these tags."""
        wanted = set(tags.items())
        return sum(value for labels, value in self.newest[metric.series].items() if wanted <= labels)


class CountingServer:
    """moto, with the bytes of bodies that were put by the first part of their key."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self._app = self._server._server.app  # type: ignore[union-attr]
        self._server._server.app = self  # type: ignore[union-attr]
        self._lock = threading.Lock()
        self.put_bytes = Counter[str]()
        self.url = "http://{}:{}".format(*self._server.get_host_and_port())

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        with self._lock:  # as in conftest.py: moto looks for a key and stores it in two steps
            if environ["REQUEST_METHOD"] == "PUT":
                size = environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH") or environ.get("CONTENT_LENGTH") or 0
                key = environ["PATH_INFO"].removeprefix("/bucket/prefix/")
                self.put_bytes[key.partition("/")[0]] += int(size)
            return self._app(environ, start_response)

    def stop(self) -> None:
        self._server.stop()


@dataclass(frozen=True, kw_only=True)
class Run:
    """A sweep that has ended."""

    scraped: Scraped
    server: CountingServer
    store: ObjectStore
    sweep_id: str

    def rows(self, table: str, sweep_id: str | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = results(
            self.store.uri, table=table, sweep_id=sweep_id or self.sweep_id
        ).to_pylist()
        return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A sweep of two architectures with an audit, over a data set with one damaged recording."""
    recordings = write_synthetic_dataset(tmp_path_factory.mktemp("recordings") / "tiny", num_clips_per_class=5)
    next(recordings.rglob("*.wav")).write_bytes(b"RIFF, but not really")
    server = CountingServer()
    environment = {
        "AWS_ACCESS_KEY_ID": "test-access-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret-key",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": server.url,
        "PYTHONPATH": str(_PROJECT),
        "RAY_metrics_report_interval_ms": "1000",  # ten seconds by default
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        boto3.client("s3", endpoint_url=server.url).create_bucket(Bucket="bucket")
        with Head(num_cpus=2) as head:
            scraped = Scraped(url=head.metrics_url)
            words = (
                *("jobs/sweep.py", f"data.root={recordings}", "storage.uri=s3://bucket/prefix"),
                *(
                    f"cluster.address={head.address}",
                    "log.kinds=[]",
                    "report.folder=" + str(recordings.parent / "reports"),
                ),
                *_SETTINGS,
            )
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=_PROJECT,
                env={**os.environ, **head.environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            told: list[str] = []
            reader = threading.Thread(target=lambda: told.extend(process.stdout or ()))
            reader.start()
            while process.poll() is None:
                with suppress(OSError):  # an agent on a busy machine may not answer in time; it is asked again
                    scraped.look()
                time.sleep(1)
            reader.join()
            printed = "".join(told)
            assert process.returncode == 0, printed
            time.sleep(3)  # until the agent has what the last processes told it
            scraped.look()
        sweep_id = re.search(r"sweep (\S+): \d+ trials over", printed)
        assert sweep_id, printed
        yield Run(scraped=scraped, server=server, store=open_store("s3://bucket/prefix"), sweep_id=sweep_id[1])
        server.stop()


def test_clips_are_those_of_the_features(run: Run) -> None:
    (sweep,) = run.rows("sweeps")
    marker = FeatureStore(run.store, dataset=sweep["dataset"], fingerprint=sweep["fingerprint"]).marker()
    assert marker is not None
    assert run.scraped.of(CLIPS, features=sweep["fingerprint"]) == marker["num_clips"] > 0
    assert run.scraped.of(QUARANTINED_CLIPS, features=sweep["fingerprint"]) == marker["num_quarantined"] == 1


def test_seed_epochs_are_the_rows_of_the_table(run: Run) -> None:
    epochs = run.rows("epochs")
    for architecture in ("cnn", "alexnet"):
        of_it = sum(row["architecture"] == architecture for row in epochs)
        assert run.scraped.of(SEED_EPOCHS, sweep=run.sweep_id, architecture=architecture) == of_it > 0


def test_an_audit_counts_what_it_trains_itself(run: Run) -> None:
    audit_id = f"{run.sweep_id}-audit"

    def keys(rows: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
        return {(row["trial_id"], row["seed"], row["epoch"], row["epoch_seconds"]) for row in rows}

    own = keys(run.rows("epochs", audit_id)) - keys(run.rows("epochs"))
    assert run.scraped.of(SEED_EPOCHS, sweep=audit_id) == len(own) > 0
    ended = run.rows("trials", audit_id)
    assert run.scraped.of(TRIALS, sweep=audit_id, state="finished") == len(ended) > 0


def test_trials_are_counted_by_state(run: Run) -> None:
    ended = Counter((row["architecture"], row["state"]) for row in run.rows("trials"))
    assert sum(ended.values()) == 6
    for architecture in ("cnn", "alexnet"):
        for state in ("finished", "stopped", "failed", "open", "waiting"):
            told = run.scraped.of(TRIALS, sweep=run.sweep_id, architecture=architecture, state=state)
            assert told == ended[architecture, state], (architecture, state)


def test_rung_decisions_are_those_that_the_epochs_show(run: Run) -> None:
    reached: dict[str, int] = defaultdict(int)
    for row in run.rows("epochs"):
        reached[row["trial_id"]] = max(reached[row["trial_id"]], row["seed_epoch"])
    stopped = {row["trial_id"] for row in run.rows("trials") if row["state"] == "stopped"}
    passed = sum(sum(rung <= last for rung in _RUNGS) - (name in stopped) for name, last in reached.items())
    assert run.scraped.of(RUNG_DECISIONS, sweep=run.sweep_id, decision="stop") == len(stopped) > 0
    assert run.scraped.of(RUNG_DECISIONS, sweep=run.sweep_id, decision="go_on") == passed > 0


def test_bytes_to_s3_are_those_that_the_server_received(run: Run) -> None:
    before_and_after = {"_probe", "reports"}  # outside of the Ray session
    received = sum(size for place, size in run.server.put_bytes.items() if place not in before_and_after)
    assert run.server.put_bytes.keys() >= {"features", "results", "checkpoints", "models"}
    assert run.scraped.of(S3_BYTES, direction="put") == received
    assert run.scraped.of(S3_BYTES, direction="get") > 0


def test_no_label_holds_a_path_a_key_or_an_address_of_ours(run: Run) -> None:
    assert run.scraped.labels <= _OURS | _OF_RAY | _OF_EXPORTER
    told = {value for values in run.scraped.newest.values() for labels in values for _, value in labels}
    assert not [value for value in told if re.search(r"/|s3:|127\.|test-", value)]


def test_every_metric_but_that_of_gpus_was_told(run: Run) -> None:
    assert {name for name in run.scraped.newest if not name.endswith("_created")} == {
        metric.series for metric in METRICS if "gpu" not in metric.name
    }
