"""What else the results table has of a sweep: its confirmation and its audit, which are rows under ids of their own."""

from typing import Literal

from reports.sweep_results import SweepResults, load_sweep
from storage.results_table import ResultsTable

Kind = Literal["confirmation", "audit"]


def related_ids(sweep: SweepResults, kind: Kind) -> list[str]:
    """Ids of the sweep's confirmations or audits, the newest first."""
    columns = ["sweep_id", "kind", "of_sweep", "started_at"]
    rows = sweep.results.read("sweeps", columns=columns).to_pandas()
    found = rows[(rows["kind"] == kind) & (rows["of_sweep"] == sweep.sweep_id)]
    return [str(one) for one in found.sort_values("started_at", ascending=False)["sweep_id"]]


def newest_related(sweep: SweepResults, kind: Kind) -> SweepResults | None:
    """The newest confirmation or audit; None where there is none."""
    ids = related_ids(sweep, kind)
    return load_sweep(sweep.results, ids[0]) if ids else None


def sweep_of(results: ResultsTable, sweep_id: str) -> str:
    """The sweep that a confirmation or an audit belongs to; any other id as it is, known or not."""
    rows = results.read("sweeps", sweep_id=sweep_id, columns=["of_sweep"]).column("of_sweep").to_pylist()
    return str(rows[0]) if rows and rows[0] else sweep_id
