"""Reading the results tables from anywhere: a notebook, a script, SQL.

Enters: where a store is, and which table. Leaves: its rows as an Arrow table or a frame of pandas or polars, or the
objects that hold them, for tools that read Parquet by themselves. docs/results_table.md has examples.
"""

from collections.abc import Sequence
from typing import Any, Literal

from storage.errors import InvalidInput
from storage.generations import snapshot, unless_replaced
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable


def results(
    uri: str,
    *,
    table: str,
    sweep_id: str | None = None,
    columns: Sequence[str] | None = None,
    as_: Literal["arrow", "pandas", "polars"] = "arrow",
    endpoint_url: str | None = None,
) -> Any:
    """Every committed row of a results table once, also while others write to it or compact it.

    Args:
        uri: of the store, as `storage.uri` of the jobs: a folder or s3://bucket/prefix.
        table: its name (`trials`, `seeds` …); docs/results_table.md describes them all.
        sweep_id: of one sweep or experiment; None for all. Of others nothing is fetched.
        columns: those wanted, in this order; None for all. Of compacted rows no others are fetched.
        as_: what to answer with; polars has to be installed by who asks for it.
        endpoint_url: of an S3 server other than AWS; None for the environment variable AWS_ENDPOINT_URL.

    Returns:
        A `pyarrow.Table`, `pandas.DataFrame` or `polars.DataFrame`; without rows if the sweep has none.

    Raises:
        InvalidInput: no such table or column, a store that holds no results at all, or polars is missing.
        StorageError: the store fails, or an object in it is damaged.
    """
    convert = {"arrow": lambda rows: rows, "pandas": lambda rows: rows.to_pandas(), "polars": _to_polars}
    if as_ not in convert:
        raise InvalidInput("as_", given=as_, allowed=", ".join(convert), remedy="Choose one of these.")
    store = open_store(uri, endpoint_url=endpoint_url)
    rows = ResultsTable(store).read(table, sweep_id=sweep_id, columns=columns)
    if not rows.num_rows:
        _refuse_without_results(store)
    return convert[as_](rows)


def result_files(uri: str, *, table: str, sweep_id: str | None = None, endpoint_url: str | None = None) -> list[str]:
    """Paths, or s3:// addresses, of objects that together hold every committed row of a table once at this moment.

    For DuckDB, polars and others that read Parquet by themselves. An object may go when a compaction is tidied up,
    which is hours later unless asked for otherwise; columns may be missing from objects that older versions wrote.

    Raises:
        InvalidInput: no such table, or a store that holds no results at all.
    """
    store = open_store(uri, endpoint_url=endpoint_url)
    objects = unless_replaced(lambda: snapshot(store, table, sweep_id=sweep_id))
    if not objects:
        _refuse_without_results(store)
    return [f"{store.uri}/{info.key}" for info in objects]


def _refuse_without_results(store: ObjectStore) -> None:
    if not any(True for prefix in ("results/", "compacted/") for _ in store.list(prefix)):
        raise InvalidInput(
            "results table",
            given=store.uri,
            allowed="a store that holds results",
            remedy="Name the storage.uri that the sweep was run with.",
        )


def _to_polars(rows: Any) -> Any:
    try:
        import polars
    except ImportError as e:
        raise InvalidInput(
            "as_", given="polars", allowed="arrow or pandas; polars where it is installed", remedy="pip install polars"
        ) from e
    return polars.from_arrow(rows)
