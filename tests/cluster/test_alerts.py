"""Alarms ask for series that there are, fire when they should, and the runbook explains each of them."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES
from sampled_alerts import firing

from cluster.metrics import METRICS

_ROOT = Path(__file__).parents[2]
_FILE = _ROOT / "cluster" / "grafana" / "alerts.yaml"
_OURS = {metric.series: set(metric.tags) for metric in METRICS}


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(_FILE.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_what_there_is(alert: dict[str, Any]) -> None:
    found: list[Any] = []
    promql_parser.walk(
        promql_parser.parse(alert["expr"]),
        lambda node: found.append(node) if isinstance(node, promql_parser.VectorSelector) else None,
    )
    assert found
    for selector in found:
        named = {matcher.name for matcher in selector.matchers.matchers}
        if selector.name in _OURS:
            assert named <= _OURS[selector.name]
        else:
            assert selector.name.removeprefix("ray_") in METRICS_GAUGES
            assert not named
    labels = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
    grouped = set(re.findall(r"by \((\w+)\)", alert["expr"])) or {"instance"}
    assert labels == grouped


def test_the_runbook_explains_every_alarm_and_no_other() -> None:
    told = (_ROOT / "docs" / "operations.md").read_text()
    section = told[told.index("\n## Alarms") :].split("\n## ")[1]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [alert["alert"] for alert in alerts()]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What has been sampled once a minute, and at which minutes the alarm fires for what.

    Attributes:
        series: in promtool's words: `3x59` is sixty times 3, `1+1x9` counts from 1 to 10, `_x9` is nine times nothing.
        fires: minute → the value of the rule's label of which it fires; None where it does not.
    """

    name: str
    alert: str
    series: Mapping[str, str]
    fires: Mapping[int, str | None]


def _trials(state: str, words: str, sweep: str = "a") -> dict[str, str]:
    return {f'ray_melsweep_trials{{sweep="{sweep}",architecture="cnn",state="{state}",WorkerId="w"}}': words}


def _epochs(words: str, *, worker: str = "w", sweep: str = "a") -> dict[str, str]:
    return {f'ray_melsweep_seed_epochs_total{{sweep="{sweep}",architecture="cnn",WorkerId="{worker}"}}': words}


_CASES = (
    Case(
        name="trials_wait_for_a_node_that_does_not_come",
        alert="NothingIsTrained",
        series={**_trials("waiting", "6x90"), **_trials("open", "0x90")},
        fires={5: None, 29: None, 31: "a", 90: "a"},
    ),
    Case(
        name="nothing_is_left_to_train",
        alert="NothingIsTrained",
        series={**_trials("waiting", "0x90"), **_trials("open", "0x90"), **_trials("stopped", "6x90")},
        fires={31: None, 90: None},
    ),
    Case(
        name="the_first_epochs_take_20_minutes_each",
        alert="NothingIsTrained",
        series={**_trials("open", "1x90"), **_epochs("_x20 1x19 2x19 3x19")},
        fires={20: None, 31: None, 41: None, 60: None, 79: None},
    ),
    Case(
        name="one_epoch_only_then_nothing",  # a counter that begins at 1 has no increase
        alert="NothingIsTrained",
        series={**_trials("open", "1x90"), **_epochs("_x10 1x80")},
        fires={30: None, 39: None, 48: "a"},
    ),
    Case(
        name="epochs_end_every_minute_and_then_none_does",
        alert="NothingIsTrained",
        series={**_trials("open", "2x120"), **_epochs("1+1x40 41x80")},
        fires={40: None, 65: None, 80: "a"},
    ),
    Case(
        name="taken_up_again_without_an_epoch_yet",  # another process, and no counter until its first one
        alert="NothingIsTrained",
        series={**_trials("open", "2x19 _x10 2x60"), **_epochs("1+1x19 stale")},
        fires={35: None, 55: None, 62: "a"},
    ),
    Case(
        name="taken_up_again_and_training",
        alert="NothingIsTrained",
        series={**_trials("open", "2x90"), **_epochs("1+1x19 stale"), **_epochs("_x40 1x24 2x25", worker="x")},
        fires={30: None, 44: None, 50: None, 66: None, 85: None},
    ),
    Case(
        name="one_sweep_of_two_stands_still",
        alert="NothingIsTrained",
        series={
            **_trials("open", "2x60"),
            **_epochs("1+1x60"),
            **_trials("open", "2x60", "b"),
            **_epochs("5x60", sweep="b"),
        },
        fires={29: None, 45: "b"},
    ),
    Case(
        name="one_of_nine_ended_trials_failed",
        alert="TrialsFail",
        series={**_trials("finished", "5x20"), **_trials("stopped", "3x20"), **_trials("failed", "0x9 1x10")},
        fires={9: None, 13: None, 16: "a"},
    ),
    Case(
        name="one_of_eleven_ended_trials_failed",
        alert="TrialsFail",
        series={**_trials("finished", "10x20"), **_trials("failed", "1x20"), **_trials("open", "9x20")},
        fires={16: None},
    ),
    Case(
        name="three_of_the_first_hundred_clips",  # of counters that have never been at 0
        alert="ClipsAreQuarantined",
        series={
            'ray_melsweep_clips_total{features="f",WorkerId="w"}': "100x9",
            'ray_melsweep_quarantined_clips_total{features="f",WorkerId="w"}': "3x9",
        },
        fires={0: None, 2: "f", 9: "f"},
    ),
    Case(
        name="one_of_a_hundred_clips",
        alert="ClipsAreQuarantined",
        series={
            'ray_melsweep_clips_total{features="f",WorkerId="w"}': "100+100x9",
            'ray_melsweep_quarantined_clips_total{features="f",WorkerId="w"}': "1+1x9",
        },
        fires={2: None, 9: None},
    ),
    Case(
        name="two_gpus_of_a_node_are_full",
        alert="GpuMemoryIsFull",
        series={
            **{f'ray_node_gram_used{{instance="n",GpuIndex="{index}"}}': "80x20" for index in (0, 1)},
            **{f'ray_node_gram_available{{instance="n",GpuIndex="{index}"}}': "1x20" for index in (0, 1)},
        },
        fires={4: None, 6: "n"},
    ),
    Case(
        name="memory_is_nearly_full",
        alert="MemoryIsFull",
        series={
            'ray_node_mem_used{instance="n"}': "95x9",
            'ray_node_mem_total{instance="n"}': "100x9",
            'ray_node_mem_used{instance="m"}': "92x9",
            'ray_node_mem_total{instance="m"}': "100x9",
        },
        fires={1: None, 3: "n"},
    ),
    Case(
        name="a_disk_is_nearly_full_for_a_while",
        alert="DiskIsFull",
        series={'ray_node_disk_utilization_percentage{instance="n"}': "91x4 89x5"},
        fires={1: None, 3: "n", 6: None},
    ),
)


def _rule(case: Case) -> dict[str, Any]:
    return next(rule for rule in alerts() if rule["alert"] == case.alert)


def _label(rule: Mapping[str, Any]) -> str:
    """That the alarm is of."""
    return re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])[0]


def test_every_alarm_has_been_seen_to_fire() -> None:
    assert {case.alert for case in _CASES if any(case.fires.values())} == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_an_alarm_fires_when_it_should(case: Case) -> None:
    rule = _rule(case)
    found = {minute: firing(rule, case.series, minute) for minute in case.fires}
    assert found == {
        minute: set() if value is None else {frozenset({(_label(rule), value)})} for minute, value in case.fires.items()
    }


def test_prometheus_itself_agrees(tmp_path: Path) -> None:
    """With the engine that evaluates them in earnest, where it is installed (Debian's package `prometheus`)."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    tests = [_of_promtool(case) for case in _CASES]
    document = {"rule_files": [str(_FILE)], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "alerts_test.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yaml"], cwd=tmp_path, text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _of_promtool(case: Case) -> dict[str, Any]:
    rule = _rule(case)

    def expected(value: str) -> dict[str, Any]:
        summary = re.sub(r"\{\{ \$labels\.\w+ \}\}", value, rule["annotations"]["summary"])
        return {"exp_labels": {**rule["labels"], _label(rule): value}, "exp_annotations": {"summary": summary}}

    return {
        "name": case.name,
        "interval": "1m",
        "input_series": [{"series": series, "values": words} for series, words in case.series.items()],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": case.alert, "exp_alerts": [expected(value)] if value else []}
            for minute, value in case.fires.items()
        ],
    }
