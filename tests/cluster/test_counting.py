"""Counting costs a job nothing: not without Ray, not when Ray fails, and not when nobody looks."""

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cluster import metrics
from cluster.metrics import CLIPS, METRICS, S3_BYTES, TRIALS, count, hide, hide_all, show, showing
from cluster.versions import Versions
from jobs.predict_parts import PredictionActor
from pipelines.shards.actor import ShardActor
from storage import traffic
from sweeps.embeddings import EmbeddingActor


class Recorded:
    """Takes the place of Ray's counters and gauges."""

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        self.name, self.tag_keys = name, tag_keys
        self.values: list[tuple[float, dict[str, str]]] = []
        _MADE[name] = self

    def inc(self, value: float, tags: dict[str, str]) -> None:
        self.values.append((value, tags))

    set = inc


# With what they are made, but for the versions of the driver.
_ACTORS: dict[str, list[Any]] = {
    "features": [ShardActor, b"", 1.0],
    "predictions": [PredictionActor, None, None, None, "cpu"],
    "embeddings": [EmbeddingActor, [], None, None],
}
_MADE: dict[str, Recorded] = {}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recorded]:
    """A process that has a Ray session, as far as the metrics can see."""
    _MADE.clear()
    monkeypatch.setattr(metrics, "_BOARD", metrics._Board())
    monkeypatch.setattr(metrics, "_AGAIN_EVERY_S", 0.02)
    monkeypatch.setattr(metrics.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(metrics.ray_metrics, "Counter", Recorded)
    monkeypatch.setattr(metrics.ray_metrics, "Gauge", Recorded)
    return _MADE


def test_without_ray_nothing_is_counted(made: dict[str, Recorded], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.ray, "is_initialized", lambda: False)
    count(CLIPS, 3, features="f")
    show(TRIALS, 1, sweep="s", architecture="cnn", state="open")
    hide(TRIALS, sweep="s", architecture="cnn", state="open")
    assert made == {}


def test_nothing_is_no_count(made: dict[str, Recorded]) -> None:
    count(CLIPS, 0, features="f")  # Ray would refuse it
    count(CLIPS, 2, features="f")
    assert made[CLIPS.name].values == [(2.0, {"features": "f"})]


@pytest.mark.parametrize("kind", _ACTORS)
def test_bytes_of_every_kind_of_actor_are_counted(
    kind: str, made: dict[str, Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "_listeners", [])
    actor, *arguments = _ACTORS[kind]
    actor(*arguments, Versions(of_driver={"torch": "none that there is"}))  # so that it begins with nothing
    traffic.tell("get", 7)
    assert made[S3_BYTES.name].values == [(7.0, {"direction": "get"})]


def test_a_metric_that_fails_is_told_once_and_ends_nothing(
    made: dict[str, Recorded], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no agent")

    monkeypatch.setattr(Recorded, "inc", fail)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            count(CLIPS, 1, features="f")
    assert [record.getMessage() for record in caplog.records] == [
        "metrics are no longer counted in this process (RuntimeError('no agent'))"
    ]


def test_a_gauge_is_told_again_until_it_is_hidden(made: dict[str, Recorded]) -> None:
    values = iter(range(1000))
    tags = {"sweep": "s", "architecture": "cnn", "state": "open"}
    with showing(TRIALS, lambda: next(values), **tags):
        _wait_until(lambda: len(made[TRIALS.name].values) >= 3)
    told = made[TRIALS.name].values
    assert [value for value, _ in told[:3]] == [0.0, 1.0, 2.0]
    _wait_until(lambda: metrics._BOARD._keeper is None)  # it ends when there is nothing to tell
    show(TRIALS, 7, **tags)
    _wait_until(lambda: [value for value, _ in told[-2:]] == [7.0, 7.0])
    hide(TRIALS, **tags)


def test_where_all_are_hidden_no_thread_is_left_and_others_may_be_shown(made: dict[str, Recorded]) -> None:
    tags = {"sweep": "s", "architecture": "cnn", "state": "open"}
    show(TRIALS, 1, **tags)
    told = made[TRIALS.name].values
    for _ in range(3):
        _wait_until(lambda: len(told) >= 3)
        hide_all()
        assert "melsweep metrics" not in {thread.name for thread in threading.enumerate()}
        told.clear()
        show(TRIALS, 2, **tags)
    for _ in range(2):  # of one, and of none
        hide_all()
    told.clear()
    time.sleep(0.1)
    assert told == []


def test_a_gauge_of_a_trial_goes_when_the_trial_fails(made: dict[str, Recorded]) -> None:
    with pytest.raises(ValueError, match="the trial"), showing(TRIALS, 1, sweep="s", architecture="a", state="open"):
        raise ValueError("the trial")
    assert metrics._BOARD._shown == {}


def test_names_are_as_prometheus_asks() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.name.startswith("melsweep_")
        assert metric.name == metric.name.lower()
        assert metric.series.endswith("_total") == (metric.kind == "counter")
        assert metric.description.endswith(".")


def test_the_guide_names_every_metric_as_it_is() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "watching.md").read_text()
    told = [line for line in guide.splitlines() if line.startswith("| `ray_melsweep")]
    assert told == [
        f"| `{metric.series}` | {metric.kind} | {', '.join(f'`{tag}`' for tag in metric.tags)} | {metric.description} |"
        for metric in METRICS
    ]


def _wait_until(happened: Any) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)
