"""Alarms ask for series that there are, and the runbook explains each of them."""

import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

from cluster.metrics import METRICS

_ROOT = Path(__file__).parents[2]
_OURS = {metric.series: set(metric.tags) for metric in METRICS}


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((_ROOT / "cluster" / "grafana" / "alerts.yaml").read_text())["groups"]
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
