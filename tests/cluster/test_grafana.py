"""The dashboard shows every metric that there is, and none that there is not."""

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from cluster.metrics import METRICS

_FILE = Path(__file__).parents[2] / "cluster" / "grafana" / "melsweep.json"
# What Grafana puts in the place of its variables before Prometheus is asked.
_FILLED_IN = {"$__rate_interval": "1m", "$__range": "3h", "$sweep": "a|b"}
_OF_PROMETHEUS = {"instance", "job"}
_TAGS = {metric.series: {*metric.tags, *_OF_PROMETHEUS} for metric in METRICS}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_FILE.read_text())
    return found


def queries() -> list[tuple[str, str]]:
    """Title of the panel, and what it asks Prometheus."""
    return [(panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel["targets"]]


def filled_in(query: str) -> str:
    for variable, value in _FILLED_IN.items():
        query = query.replace(variable, value)
    return query


def selectors(query: str) -> list[Any]:
    """Every series that a query selects. Raises ValueError for what is no PromQL."""
    found: list[Any] = []

    def look(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(filled_in(query)), look)
    return found


def test_it_is_a_dashboard() -> None:
    found = dashboard()
    assert found["uid"] == found["title"] == "melsweep"
    assert found["schemaVersion"] >= 36
    ids = [panel["id"] for panel in found["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {variable["name"]: variable for variable in found["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    assert re.fullmatch(r"label_values\((\w+), sweep\)", variables["sweep"]["definition"])[1] in _TAGS  # type: ignore[index]


@pytest.mark.parametrize("panel", dashboard()["panels"], ids=lambda panel: panel["title"])
def test_a_panel_has_a_name_a_unit_a_description_and_a_place(panel: dict[str, Any]) -> None:
    assert panel["title"][0].isupper()
    assert "melsweep" not in panel["title"]  # named for people, not as the series is
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    place = panel["gridPos"]
    assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_panels_do_not_overlap() -> None:
    cells = [
        (column, row)
        for panel in dashboard()["panels"]
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)


@pytest.mark.parametrize(("title", "query"), queries(), ids=[title for title, _ in queries()])
def test_a_query_asks_for_what_there_is(title: str, query: str) -> None:
    found = selectors(query)
    assert found
    for selector in found:
        assert selector.name in _TAGS, f"{title}: there is no {selector.name}"
        named = {matcher.name for matcher in selector.matchers.matchers}
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", query))))
        assert named | grouped <= _TAGS[selector.name]
        # A panel of sweeps follows the variable.
        assert ("sweep" in named) == ("sweep" in _TAGS[selector.name])
    assert "$" not in filled_in(query)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_counter_is_shown_as_a_rate_and_a_gauge_as_it_is(metric: Any) -> None:
    asking = [query for _, query in queries() if metric.series in {selector.name for selector in selectors(query)}]
    assert asking, f"no panel shows {metric.series}"
    for query in asking:
        assert bool(re.search(rf"(rate|increase)\({metric.series}\b", query)) == (metric.kind == "counter")


def test_what_is_no_promql_is_noticed() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        selectors("sum by (state (ray_melsweep_trials)")
