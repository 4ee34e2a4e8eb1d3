"""Which test clips had no part in a sweep's choices. Enters: the sweep, or what follows it. Leaves: clip ids.

A confirmation over folds tests every clip once. Those outside of the test part of the sweep's own split were among its
train or validation clips, on which configurations were chosen: scores on them are too good by what that choice is
worth.
"""

from reports.sweep_results import SweepResults, load_sweep
from storage.split import load_split


def untouched_clips(sweep: SweepResults) -> frozenset[str]:
    """The test clips of the split on which the sweep searched.

    Args:
        sweep: itself, or a confirmation or audit of it.

    Raises:
        InvalidInput: the sweep that `sweep` follows is not in the results table.
        StorageError: its split is not in the store, or damaged.
    """
    of_sweep = sweep.sweep.get("of_sweep")
    searched = load_sweep(sweep.results, of_sweep) if isinstance(of_sweep, str) else sweep
    row = searched.sweep
    split = load_split(sweep.results.store, dataset=str(row["dataset"]), split_hash=str(row["split_hash"]))
    return frozenset(split.clip_ids("test"))
