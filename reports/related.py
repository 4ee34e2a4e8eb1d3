"""What else the results table has of a sweep: its confirmation and its audit, which are rows under ids of their own."""

from typing import Literal

from reports.sweep_results import SweepResults, load_sweep
from storage.generations import partitions
from storage.results_table import ResultsTable

Kind = Literal["confirmation", "audit"]


def related_ids(sweep: SweepResults, kind: Kind) -> list[str]:
    """Ids of the sweep's confirmations or audits, the newest first.

    Their ids begin with the sweep's and a hyphen, so that of a store's many sweeps only these are read.
    """
    found = []
    for partition in partitions(sweep.results.store, "sweeps"):
        if partition.sweep_id.startswith(f"{sweep.sweep_id}-"):
            columns = ["sweep_id", "kind", "of_sweep", "started_at"]
            found += sweep.results.read("sweeps", sweep_id=partition.sweep_id, columns=columns).to_pylist()
    ours = [row for row in found if row["kind"] == kind and row["of_sweep"] == sweep.sweep_id]
    return [str(row["sweep_id"]) for row in sorted(ours, key=lambda row: row["started_at"], reverse=True)]


def newest_related(sweep: SweepResults, kind: Kind) -> SweepResults | None:
    """The newest confirmation or audit; None where there is none."""
    ids = related_ids(sweep, kind)
    return load_sweep(sweep.results, ids[0]) if ids else None


def sweep_of(results: ResultsTable, sweep_id: str) -> str:
    """The sweep that a confirmation or an audit belongs to; any other id as it is, known or not."""
    rows = results.read("sweeps", sweep_id=sweep_id, columns=["of_sweep"]).column("of_sweep").to_pylist()
    return str(rows[0]) if rows and rows[0] else sweep_id
