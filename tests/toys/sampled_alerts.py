"""When an alarm of Prometheus fires, over series of samples: the part of PromQL that our rules are written in.

Enters: a rule, and series as promtool's tests write them. Leaves: the labels of what fires at a minute. It knows sums,
`increase`, `offset`, `>`, `+`, `*`, `or` and `unless`, and refuses all else. `increase` is not extrapolated to the ends
of its window: its numbers are not quite Prometheus's, and whether they are above 0 is. tests/cluster/test_alerts.py
holds the two against each other where promtool is installed.
"""

import itertools
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import promql_parser as promql

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Samples = list[tuple[float, float | None]]  # seconds and value; None for the marker of a series that has vanished

_LOOKBACK_S = 300.0
_INTERVAL_S = 60.0
_NUMBERS: Mapping[str, Callable[[float, float], Any]] = {
    "+": operator.add,
    "*": operator.mul,
    ">": operator.gt,
}


def firing(rule: Mapping[str, Any], series: Mapping[str, str], minute: int) -> set[Labels]:
    """What fires of a rule `minute` minutes after the first sample, where it is looked at once a minute.

    Args:
        series: `name{label="value"}` → a sample a minute, in promtool's words: `0+1x5`, `3x5`, `_x5`, `stale`.
    """
    parsed, held_s = promql.parse(rule["expr"]), 60.0 * int(re.fullmatch(r"(\d+)m", rule["for"])[1])  # type: ignore[index]
    samples = {_labels(name): _samples(words) for name, words in series.items()}
    since: dict[Labels, float] = {}
    for now in (step * _INTERVAL_S for step in range(minute + 1)):
        active = {_unnamed(labels) for labels in _vector(_Looking(samples, now).value(parsed))}
        since = {labels: since.get(labels, now) for labels in active}
    return {labels for labels, began in since.items() if minute * _INTERVAL_S - began >= held_s}


class _Looking:
    """At all series, at one moment."""

    def __init__(self, samples: Mapping[Labels, Samples], now: float) -> None:
        self._samples, self._now = samples, now

    def value(self, node: Any) -> Vector | float:
        if isinstance(node, promql.ParenExpr):
            return self.value(node.expr)
        if isinstance(node, promql.NumberLiteral):
            return float(node.val)
        if isinstance(node, promql.VectorSelector):
            return self._newest(node)
        if isinstance(node, promql.Call) and node.func.name == "increase":
            return self._increase(node.args[0])
        if isinstance(node, promql.AggregateExpr) and str(node.op) == "sum" and node.modifier:
            return self._sums(node)
        if isinstance(node, promql.BinaryExpr):
            return _combined(node, self.value(node.lhs), self.value(node.rhs))
        raise NotImplementedError(f"{type(node).__name__}: {node}")

    def _selected(self, node: Any) -> dict[Labels, Samples]:
        def matches(labels: Labels, matcher: Any) -> bool:
            given = dict(labels).get(matcher.name, "")
            if matcher.op == promql.MatchOp.Equal:
                return bool(given == matcher.value)
            if matcher.op == promql.MatchOp.Re:
                return re.fullmatch(matcher.value, given) is not None
            raise NotImplementedError(str(matcher.op))

        return {
            labels: samples
            for labels, samples in self._samples.items()
            if ("__name__", node.name) in labels and all(matches(labels, one) for one in node.matchers.matchers)
        }

    def _newest(self, node: Any) -> Vector:
        at = self._now - (node.offset.total_seconds() if node.offset else 0.0)
        found = {}
        for labels, samples in self._selected(node).items():
            seen = [value for when, value in samples if at - _LOOKBACK_S < when <= at]
            if seen and seen[-1] is not None:
                found[labels] = seen[-1]
        return found

    def _increase(self, node: Any) -> Vector:
        begin, found = self._now - node.range.total_seconds(), {}
        for labels, samples in self._selected(node.vector_selector).items():
            seen = [value for when, value in samples if begin < when <= self._now and value is not None]
            if len(seen) > 1:
                steps = [now - before if now >= before else now for before, now in itertools.pairwise(seen)]
                found[_unnamed(labels)] = sum(steps)
        return found

    def _sums(self, node: Any) -> Vector:
        assert node.modifier.type == promql.AggModifierType.By
        sums: Vector = defaultdict(float)
        for labels, value in _vector(self.value(node.expr)).items():
            sums[_only(labels, node.modifier.labels)] += value
        return dict(sums)


def _combined(node: Any, left: Vector | float, right: Vector | float) -> Vector | float:
    op = str(node.op)
    if op in ("or", "unless"):
        on = node.modifier and node.modifier.matching and node.modifier.matching.labels
        key: Callable[[Labels], Labels] = (lambda labels: _only(labels, on)) if on else _unnamed
        left, right = _vector(left), _vector(right)
        theirs, ours = set(map(key, right)), set(map(key, left))
        if op == "unless":
            return {labels: value for labels, value in left.items() if key(labels) not in theirs}
        return left | {labels: value for labels, value in right.items() if key(labels) not in ours}
    combine = _NUMBERS[op]
    if isinstance(left, float):  # a number times a vector; numbers alone are compared in no rule
        return {_unnamed(labels): float(combine(left, value)) for labels, value in _vector(right).items()}
    if isinstance(right, float):
        pairs = {labels: (value, right) for labels, value in left.items()}
    else:
        theirs_by_key = {_unnamed(labels): value for labels, value in right.items()}
        pairs = {
            labels: (value, theirs_by_key[_unnamed(labels)])
            for labels, value in left.items()
            if _unnamed(labels) in theirs_by_key
        }
    if op == ">":  # keeps what holds, as it was
        return {labels: ours for labels, (ours, others) in pairs.items() if combine(ours, others)}
    return {_unnamed(labels): float(combine(ours, others)) for labels, (ours, others) in pairs.items()}


def _vector(value: Vector | float) -> Vector:
    assert isinstance(value, dict), "a number where a vector is needed"
    return value


def _only(labels: Labels, names: list[str]) -> Labels:
    return frozenset((name, value) for name, value in labels if name in names)


def _unnamed(labels: Labels) -> Labels:
    return frozenset((name, value) for name, value in labels if name != "__name__")


def _labels(series: str) -> Labels:
    name, _, given = series.partition("{")
    return frozenset({("__name__", name), *re.findall(r'(\w+)="([^"]*)"', given)})


def _samples(words: str) -> Samples:
    values: list[float | str | None] = []
    for word in words.split():
        if word == "stale":
            values.append(None)
        elif told := re.fullmatch(r"_(?:x(\d+))?", word):
            values += ["missing"] * int(told[1] or 1)
        elif told := re.fullmatch(r"(\d+)(?:\+(\d+))?x(\d+)", word):  # so many after the first
            values += [float(told[1]) + step * float(told[2] or 0) for step in range(int(told[3]) + 1)]
        else:
            values.append(float(word))
    return [
        (index * _INTERVAL_S, value) for index, value in enumerate(values) if value is None or isinstance(value, float)
    ]
