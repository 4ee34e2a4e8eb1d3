"""Arrow tables as Parquet bytes in an object store: the one place that names codecs and Parquet errors."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import StorageError
from storage.object_store import ObjectStore


def to_parquet(table: pa.Table) -> bytes:
    """Parquet bytes that depend on the table alone (no timestamps), zstd-compressed, every page with its checksum."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", store_schema=True, write_page_checksum=True)
    return buffer.getvalue()


def read_parquet(store: ObjectStore, key: str, *, columns: list[str] | None = None) -> pa.Table:
    """Reads one object.

    Raises:
        StorageError: the object is missing, is no Parquet file, or a page differs from its checksum.
    """
    data = store.get(key)
    try:
        return pq.read_table(pa.BufferReader(data), columns=columns, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as e:  # a damaged page is an OSError, a damaged name a ValueError
        raise StorageError(f"{store.uri}: {key!r} is damaged ({e}). Delete it and run the same command again.") from e
