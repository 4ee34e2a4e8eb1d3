"""Run in a process of its own: reads liars one after the other, with little memory, and says what came of each.

Prints a JSON object: reader, kind → the error, and how much memory its reading took.
"""

import ctypes
import json
import resource
import sys
import tempfile
from pathlib import Path

import liars
from readers import JSON_READERS, READERS, REFUSALS

import storage.parquet_bounds

_COLUMNS = {"a table.parquet": "uri", "features": "clip_id", "a commit": "trial_id", "names of commits": "commit"}


def cases() -> list[tuple[str, str, bytes]]:
    """(reader, kind, content) of all."""
    by_readers = [
        (("weights.safetensors", "a model", "a checkpoint"), liars.false_safetensors()),
        (("a model",), liars.false_cards()),
        (("weights.pt", "weights.pth", "weights.bin"), liars.false_weights()),
        (("an exported array",), liars.false_arrays()),
        (("RadioML 2018.01A",), liars.false_hdf5()),
        (("RadioML 2016.10A",), liars.false_pickles()),
        (("a recording",), liars.false_recordings()),
        (("a table.csv", "a table.csv.gz", "a table.tsv"), liars.false_tables()),
        (("an archive",), liars.false_archives()),
        (JSON_READERS, liars.false_json()),
        (("the marker of embeddings",), liars.false_counts()),
        *(((reader,), liars.false_parquet(column)) for reader, column in _COLUMNS.items()),
    ]
    return [(reader, kind, data) for readers, files in by_readers for reader in readers for kind, data in files.items()]


def main(headroom_bytes: int) -> None:
    storage.parquet_bounds.MAX_BYTES = 1 << 24  # so that 64 MiB are too many, and their making takes no time
    files = cases()
    _read(*files[0])  # imports
    limit = _status("VmSize") + headroom_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    found = {}
    for reader, kind, data in files:
        before = _reset_peak()
        error = _read(reader, kind, data)
        found[f"{reader}: {kind}"] = {"error": error, "mib": (_status("VmHWM") - before) >> 20, "bytes": len(data)}
    print(json.dumps(found))


def _read(reader: str, kind: str, data: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            READERS[reader](Path(folder), data)
        except REFUSALS as e:
            return f"{type(e).__name__}: {e}"
        except BaseException as e:
            return f"unexpected {type(e).__name__}: {e}"[:500]
    return "unexpected: none"


def _reset_peak() -> int:
    """Gives free memory back and forgets the peak; what is in use now."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
