"""Which test clips had no part in a sweep's choices. Enters: the sweep, or what follows it. Leaves: clip ids.

A confirmation over folds tests every clip once. Those outside of the test part of the sweep's own split were among its
train or validation clips, on which configurations were chosen: scores on them are too good by what that choice is
worth.
"""

from reports.sweep_results import SweepResults, load_sweep
from storage.errors import StorageError
from storage.split import load_split


def untouched_clips(sweep: SweepResults) -> frozenset[str]:
    """The test clips of the split on which the sweep searched; of a split that is no longer there, those on which a
    trial of the sweep was tested. Empty where nothing tells them.

    Args:
        sweep: itself, or a confirmation or audit of it.

    Raises:
        InvalidInput: the sweep that `sweep` follows is not in the results table.
    """
    of_sweep = sweep.sweep.get("of_sweep")
    searched = load_sweep(sweep.results, of_sweep) if isinstance(of_sweep, str) else sweep
    row = searched.sweep
    try:
        split = load_split(sweep.results.store, dataset=str(row["dataset"]), split_hash=str(row["split_hash"]))
    except StorageError:
        return _tested_by_a_trial(searched)
    return frozenset(split.clip_ids("test"))


def _tested_by_a_trial(sweep: SweepResults) -> frozenset[str]:
    """All trials of a sweep are tested on the same clips, so any one with predictions tells them."""
    for trial_id in dict.fromkeys(sweep.seeds["trial_id"]):
        rows = sweep.predictions_of(str(trial_id))
        clips = frozenset(rows[rows["part"] == "test"]["clip_id"])
        if clips:
            return clips
    return frozenset()
