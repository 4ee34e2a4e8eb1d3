"""The rows of some trials in one of the results tables, for whoever takes them over under another sweep's id."""

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.results_table import ResultsTable


def rows_of_trials(
    results: ResultsTable, table: str, *, sweep_id: str, trial_ids: Collection[str]
) -> list[dict[str, Any]]:
    """Every row of these trials, as `ResultsTable.commit` takes them."""
    rows = results.read(table, sweep_id=sweep_id)
    wanted = pc.is_in(rows.column("trial_id"), value_set=pa.array(sorted(trial_ids), pa.string()))
    found: list[dict[str, Any]] = rows.filter(wanted).to_pylist()
    return found
