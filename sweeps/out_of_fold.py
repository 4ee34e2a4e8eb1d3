"""What every clip was answered by a model that has never seen its fold: predictions and embeddings of all folds in one.

Enters: predictions in the results table, embeddings in the experiment's folder. Leaves: one table of both, and the
scores of every seed over all folds together.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.object_store import ObjectStore
from storage.parquet import read_parquet, to_parquet
from storage.results_table import ResultsTable
from sweeps.ledger import Suggestion
from training.metrics import Evaluation, evaluate


def embeddings_key(folder: str, *, fold: int | None, seed: int) -> str:
    """Where a seed's embeddings of its test fold lie in the experiment's folder."""
    return f"{folder}/embeddings/fold={fold}/seed={seed}.parquet"


def save_embeddings(store: ObjectStore, key: str, *, clip_ids: Sequence[str], embeddings: NDArray[np.float32]) -> None:
    """Stores what a model saw of every clip, float32 (clips, D); storing it again changes nothing."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1])
    table = pa.table({"clip_id": pa.array(clip_ids, pa.string()), "embedding": column})
    store.put_if_absent(key, to_parquet(table))


def out_of_fold(store: ObjectStore, experiment_id: str, trials: Sequence[Suggestion], *, folder: str) -> pa.Table:
    """One row per (seed, clip), of the fold in which the clip was tested on.

    Columns: seed, fold, clip_id, label, labels, predicted (indices into the experiment's labels), probabilities,
    embedding (list of float32, of the model of this fold and seed: comparable within a fold only).

    Raises:
        StorageError: predictions or embeddings are missing or damaged.
    """
    predictions = ResultsTable(store).read("predictions", sweep_id=experiment_id)
    tables = []
    for trial in trials:
        for seed in trial.config.seeds:
            of_seed = (pc.field("trial_id") == trial.config.trial_id) & (pc.field("seed") == seed)
            rows = predictions.filter(of_seed & (pc.field("part") == "test")).sort_by("clip_id")
            stored = read_parquet(store, embeddings_key(folder, fold=trial.fold, seed=seed)).sort_by("clip_id")
            if stored.column("clip_id").to_pylist() != rows.column("clip_id").to_pylist():
                raise AssertionError("embeddings and predictions of a seed are written together")
            tables.append(
                rows.select(["seed", "clip_id", "label", "labels", "predicted", "probabilities"])
                .append_column("fold", pa.array([trial.fold] * rows.num_rows, pa.int32()))
                .append_column("embedding", stored.column("embedding").cast(pa.list_(pa.float32())))
            )
    return pa.concat_tables(tables)


def pooled_evaluations(table: pa.Table, *, num_labels: int, is_multi_label: bool) -> dict[int, Evaluation]:
    """seed → all its test folds scored as one part, by `training.metrics`."""
    found: dict[int, Evaluation] = {}
    for seed in sorted(set(table.column("seed").to_pylist())):
        rows = table.filter(pc.field("seed") == seed)
        clip_ids = tuple(rows.column("clip_id").to_pylist())
        targets = np.zeros((len(clip_ids), num_labels), dtype=np.bool_)
        for row, labels in enumerate(rows.column("labels").to_pylist()):
            targets[row, labels] = True
        found[seed] = evaluate(
            clip_ids=clip_ids,
            groups=clip_ids,
            targets=targets,
            first_label=np.array(rows.column("label"), dtype=np.int64),
            probabilities=np.array(rows.column("probabilities").to_pylist(), dtype=np.float64),
            is_multi_label=is_multi_label,
        )
    return found


def mean_scores(evaluations: Mapping[int, Evaluation]) -> dict[str, tuple[float, float | None]]:
    """Metric → mean and sample deviation over seeds; metrics that some seed has none of stay out."""
    found = {}
    for name in next(iter(evaluations.values())).scores:
        values = [evaluation.scores[name] for evaluation in evaluations.values()]
        numbers = [value for value in values if value is not None]
        if len(numbers) == len(values):
            deviation = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
            found[name] = (float(np.mean(numbers)), deviation)
    return found
