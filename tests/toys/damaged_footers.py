"""Run in a process of its own: reads a Parquet file once for each wrong byte of its footer, and says how it went.

Prints a JSON object: how many were read, how many refused; what else was raised, by the place of the byte.
"""

import io
import json
import os
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq

from storage.feature_rows import Where, iterate_rows
from storage.parquet_bounds import BoundedFile, read_bounded

_WRONG = (0x01, 0x10)  # a wrong number, a wrong type
_TABLE = pa.table(
    {
        "clip_id": [f"clip {number}" for number in range(20)],
        "fold": pa.array([number % 5 for number in range(20)], pa.int32()),
        "labels": [["a", "b"][: number % 3] for number in range(20)],
        "log_mel": [float(number) for number in range(20)],
    }
)
_WHERE = Where(clip_ids=["clip 1"], folds=[1])


def main() -> None:
    buffer = io.BytesIO()
    pq.write_table(_TABLE, buffer, row_group_size=12)
    data = buffer.getvalue()
    num_bytes = int.from_bytes(data[-8:-4], "little")
    found: Counter[str] = Counter()
    others = {}
    for place in range(len(data) - 8 - num_bytes, len(data)):
        for wrong in _WRONG:
            try:
                _read(data[:place] + bytes([data[place] ^ wrong]) + data[place + 1 :])
                found["read"] += 1
            except (ValueError, pa.ArrowException, OSError):
                found["refused"] += 1
            except Exception as e:
                others[f"{place}, {wrong:#x}"] = repr(e)
    print(json.dumps({**found, "others": others}), flush=True)
    os._exit(0)  # threads of pyarrow 26 of refused reads break the end of a process, 1 in 60


def _read(data: bytes) -> None:
    read_bounded(BoundedFile(pa.BufferReader(data)))
    list(iterate_rows(BoundedFile(pa.BufferReader(data)), ["log_mel"], _WHERE))


if __name__ == "__main__":
    main()
