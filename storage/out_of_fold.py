"""What every clip was answered by a model that was trained on other folds: predictions and embeddings of all in one.

Under the literature's protocol the epoch whose weights answer was chosen on the clip's own fold; no weight was fitted
to it.

    experiments/0001/embeddings/fold=1/seed=42.parquet
    experiments/0001/out_of_fold.parquet

Enters: predictions in the results table, embeddings of test clips. Leaves: one table of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.errors import StorageError
from storage.object_store import ObjectStore
from storage.parquet import read_parquet, to_parquet
from storage.results_table import ResultsTable


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldTrial:
    """A fold and the trial that was tested on it."""

    fold: int
    trial_id: str
    seeds: tuple[int, ...]


def save_embeddings(
    store: ObjectStore,
    folder: str,
    *,
    fold: int,
    seed: int,
    clip_ids: Sequence[str],
    embeddings: NDArray[np.float32],
) -> None:
    """Stores what a seed's model saw of every test clip, float32 (clips, D); storing it again changes nothing."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1])
    table = pa.table({"clip_id": pa.array(clip_ids, pa.string()), "embedding": column})
    store.put_if_absent(_key(folder, fold, seed), to_parquet(table))


def out_of_fold(store: ObjectStore, experiment_id: str, folds: Sequence[FoldTrial], *, folder: str) -> pa.Table:
    """One row per (seed, clip), of the fold in which the clip was tested on; stored in the experiment's folder, too.

    Columns: seed, fold, clip_id, group (speaker, recording, site; null where it was not recorded), label, labels,
    predicted (indices into the experiment's labels), probabilities, embedding (list of float32, by the model of this
    fold and seed: comparable within these alone).

    Raises:
        StorageError: predictions or embeddings are missing or damaged.
    """
    predictions = ResultsTable(store).read("predictions", sweep_id=experiment_id)
    tables = [_of_seed(store, predictions, tested, seed, folder=folder) for tested in folds for seed in tested.seeds]
    table = pa.concat_tables(tables)
    store.put_if_absent(f"{folder}/out_of_fold.parquet", to_parquet(table))
    return table


def _of_seed(store: ObjectStore, predictions: pa.Table, tested: FoldTrial, seed: int, *, folder: str) -> pa.Table:
    of_seed = (pc.field("trial_id") == tested.trial_id) & (pc.field("seed") == seed) & (pc.field("part") == "test")
    rows = predictions.filter(of_seed).sort_by("clip_id")
    stored = read_parquet(store, _key(folder, tested.fold, seed)).sort_by("clip_id")
    if stored.column("clip_id").to_pylist() != rows.column("clip_id").to_pylist():
        raise StorageError(
            f"{store.uri}: {_key(folder, tested.fold, seed)} and the predictions of trial {tested.trial_id} are of "
            "other clips. Delete both and run the job again."
        )
    return (
        rows.select(["seed", "clip_id", "group", "label", "labels", "predicted", "probabilities"])
        .add_column(1, "fold", pa.array([tested.fold] * rows.num_rows, pa.int32()))
        .append_column("embedding", stored.column("embedding").cast(pa.list_(pa.float32())))
    )


def _key(folder: str, fold: int, seed: int) -> str:
    return f"{folder}/embeddings/fold={fold}/seed={seed}.parquet"
