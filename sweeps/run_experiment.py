"""Trains every fold of an experiment, or what an earlier process left of it.

Enters: a plan, features and splits at rest, a store and an initialised Ray. Leaves: rows in the results table, as of a
sweep, and the embeddings of every fold's test clips.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from storage.features import Features
from storage.object_store import ObjectStore
from storage.split import Split
from sweeps.experiment import ExperimentPlan
from sweeps.news import News
from sweeps.run_planned import PlannedTrials, run_planned
from training import TrialData


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentOutcome:
    """What this process found and did: folds that were complete before, that it completed, and that failed.

    Attributes:
        failed: fold → why, in a line; training failed, its process died too often, or memory ran out. The last two are
            open: the same call tries them again.
    """

    num_found: int
    num_run: int
    failed: Mapping[int, str]


def run_experiment(
    plan: ExperimentPlan,
    load_features: Callable[[], Features],
    splits: Mapping[int, Split],
    store: ObjectStore,
    *,
    folder: str,
    sweep_row: Mapping[str, Any],
    feature_spec: Mapping[str, Any] | None = None,
    on_news: Callable[[News], None] = lambda news: None,
    embedded: Mapping[int, TrialData] = MappingProxyType({}),
) -> ExperimentOutcome:
    """Trains and records every fold that is not complete.

    Args:
        folder: of the experiment in the store.
        embedded: fold → its data with embeddings (`embeddings.embed_folds`), where it trains its head alone.
        load_features, sweep_row, feature_spec, on_news: as of `run_planned.run_planned`.

    Raises:
        StorageError: the store failed; nothing is lost, and the same call goes on.
    """
    planned = PlannedTrials(
        run_id=plan.experiment_id,
        suggestions=tuple(plan.suggestions()),
        needs=plan.settings,
        section="train",
        device=plan.device,
        fuse_seeds=plan.fuse_seeds,
    )
    by_trial = {plan.trial_config(fold).trial_id: data for fold, data in embedded.items()}
    outcome = run_planned(
        planned,
        load_features,
        {split.split_hash: split for split in splits.values()},
        store,
        sweep_row={"kind": "experiment", **sweep_row},
        folder=folder,
        feature_spec=feature_spec,
        on_news=on_news,
        embed=lambda configs: by_trial,
    )
    failed = {plan.folds[number]: failure.reason for number, failure in outcome.failed.items()}
    return ExperimentOutcome(num_found=outcome.num_found, num_run=outcome.num_run, failed=failed)
