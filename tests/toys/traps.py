"""Files that would do harm to who reads them carelessly: pickles with code in them, under every kind of name."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, sprung: Path) -> None:
        self._sprung = sprung

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self._sprung),)


def pickles(sprung: Path) -> dict[str, bytes]:
    """A trap as the formats have it whose usual readers unpickle."""
    trap = Trap(sprung)
    return {
        "pickle": pickle.dumps({"weight": trap}, protocol=4),
        "pickle of protocol 2": pickle.dumps({"weight": trap}, protocol=2),
        "torch.save": _written(lambda file: torch.save({"weight": trap}, file)),
        "torch.save of before 2020": _written(
            lambda file: torch.save({"weight": trap}, file, _use_new_zipfile_serialization=False)
        ),
        "numpy.save of objects": _written(lambda file: np.save(file, np.array([trap], dtype=object))),
        "numpy.savez of objects": _written(lambda file: np.savez(file, weight=np.array([trap], dtype=object))),
        "joblib": _joblib(trap),
        "zip of a pickle": _zip(pickle.dumps(trap)),
        "Parquet with Ray's pickled objects": pickled_column(sprung, "uri", label="dog"),
    }


def pickled_column(sprung: Path, *columns: str, nested: bool = False, **others: object) -> bytes:
    """A Parquet file of one row with traps in `columns`, of the type that Ray Data gives to objects of Python.

    Args:
        nested: in lists.
        others: plain columns and their values.
    """
    import ray.data._internal.object_extensions.arrow as extensions

    stored = pa.array([pickle.dumps(Trap(sprung))], pa.large_binary())
    trap: pa.Array = extensions.ArrowPythonObjectType().wrap_array(stored)
    if nested:
        trap = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), trap)
    table = pa.table({**{name: trap for name in columns}, **{name: [value] for name, value in others.items()}})
    return _written(lambda file: pq.write_table(table, file))


def _written(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _joblib(trap: Trap) -> bytes:
    import joblib  # type: ignore[import-untyped]  # scikit-learn brings it

    return _written(lambda file: joblib.dump({"weight": trap}, file))


def _zip(data: bytes) -> bytes:
    def write(file: io.BytesIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("data.pkl", data)

    return _written(write)
