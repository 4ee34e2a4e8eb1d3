"""Why a command makes a new sweep: in what its plan differs from the newest sweep of the same name.

Enters: a plan and the results table. Leaves: a sentence for people, such as
`a new sweep, and not sweep-0123456789ab taken up: training_version 2 → 3; sweep.epochs 25 → 50`.
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from storage.generations import partitions
from storage.identity import canonical_json
from storage.results_table import ResultsTable
from sweeps.plan import EXECUTION, SweepPlan
from sweeps.sweep_settings import SweepSettings

_LONGEST = 60  # characters of a value that are shown
_COLUMNS = ("dataset", "fingerprint", "split_hash")


def why_new(plan: SweepPlan, results: ResultsTable) -> str | None:
    """What a person has to know before the plan's first start; None if it resumes, or is the first of its name."""
    of_name = re.compile(re.escape(plan.settings.name) + r"-[0-9a-f]{12}")
    known = [p.sweep_id for p in partitions(results.store, "sweeps") if of_name.fullmatch(p.sweep_id)]
    if plan.sweep_id in known or not known:
        return None
    rows = [row for sweep_id in known for row in results.read("sweeps", sweep_id=sweep_id).to_pylist()]
    newest = max(rows, key=lambda row: row["started_at"], default=None)
    if newest is None:
        return None
    changed = differences(_facts_of_row(newest), _facts(plan.identity))
    told = "; ".join(changed) or "nothing that it recorded; older versions did not record theirs"
    return f"a new sweep, and not {newest['sweep_id']} taken up: {told}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One text a fact that has changed: `sweep.epochs 25 → 50`; what only one side has is `none` on the other.

    Spaces are compared of architectures that both sides search; and of a side that does not say its code's version, as
    older rows do not, what it does not say is unknown, and not told.
    """
    is_whole = "training_version" in old
    both = old.get("space", {}).keys() & new.get("space", {}).keys()
    sides = [
        _flat({**side, "space": {name: space for name, space in side.get("space", {}).items() if name in both}})
        for side in (old, {name: value for name, value in new.items() if is_whole or name in old})
    ]
    before, after = sides
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [f"{name} {_shown(before.get(name))} → {_shown(after.get(name))}" for name in changed]


def _facts_of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Of older rows, which hold no identity, those that can still be had."""
    if row["identity"]:
        return _facts(json.loads(row["identity"]))
    return _facts({**{name: row[name] for name in _COLUMNS}, "settings": json.loads(row["settings"]).get("sweep", {})})


def _facts(identity: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values, nested by the names that users write."""
    facts = {name: value for name, value in identity.items() if name not in ("settings", "spaces")}
    facts["sweep"] = {name: value for name, value in _settings(identity["settings"]) if name not in EXECUTION}
    if "spaces" in identity:
        facts["space"] = {space["architecture"]: _searched(space) for space in identity["spaces"]}
    plain: dict[str, Any] = json.loads(canonical_json(facts))
    return plain


def _settings(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All settings of a sweep, of which an identity holds those that are not as ever."""
    for name, default in dataclasses.asdict(SweepSettings()).items():
        value = given.get(name, default)
        yield name, {**default, **value} if isinstance(default, dict) else value


def _searched(space: Mapping[str, Any]) -> dict[str, Any]:
    """A space with its distributions as values: their JSON is too long to be read."""
    kinds = {name: json.loads(text)["attributes"] for name, text in space["distributions"].items()}
    return {"default": space["default"], "searched": kinds}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _shown(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
