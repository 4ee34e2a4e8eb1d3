"""Runs what follows an ended search, its confirmation and the audit of its stops, or what is left of them.

Enters: a plan, complete features, splits, a store and an initialised Ray. Leaves: rows under ids of their own. Both are
planned trials (`run_planned.py`): whatever the sweep has trained of them is taken over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from storage.feature_store import FeatureStore
from storage.results_table import ResultsTable
from storage.split import Split
from sweeps.confirmation import ConfirmationPlan, choose
from sweeps.embeddings import embed_trials
from sweeps.ledger import Ledger
from sweeps.news import News
from sweeps.plan import SweepPlan
from sweeps.records import Suggestion
from sweeps.run_planned import PlannedOutcome, PlannedTrials, run_planned
from sweeps.stop_audit import audit_id, draw_stops
from training import TrialConfig, TrialData


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """The trials of an audit, and out of how many stopped ones they were drawn."""

    suggestions: tuple[Suggestion, ...]
    num_stopped: int


def find_confirmation(
    plan: SweepPlan, results: ResultsTable, splits: Mapping[int | None, Split]
) -> ConfirmationPlan | None:
    """What is to be confirmed of a sweep; None where nothing is asked for, or nothing has ended.

    Args:
        splits: to confirm on; None stands for the sweep's own split.
    """
    ledger, settings = Ledger(results, plan.sweep_id), plan.settings
    if not settings.confirm.best:
        return None
    records = ledger.records()
    chosen = choose(records, ledger.seed_scores(), architectures=settings.architectures, best=settings.confirm.best)
    if not chosen:
        return None
    return ConfirmationPlan(
        sweep=plan,
        chosen=chosen,
        split_hashes={fold: split.split_hash for fold, split in splits.items()},
        finished=frozenset(one.suggestion.config.trial_id for one in records if one.state == "finished"),
    )


def draw_audit(plan: SweepPlan, results: ResultsTable) -> Drawn:
    """The stopped trials of a sweep that are audited; none where no audit is asked for."""
    records = Ledger(results, plan.sweep_id).records()
    settings = plan.settings
    suggestions = draw_stops(records, searcher_seed=settings.searcher_seed, share=settings.audit.share)
    return Drawn(suggestions=suggestions, num_stopped=sum(record.state == "stopped" for record in records))


def confirmation_trials(confirmation: ConfirmationPlan) -> PlannedTrials:
    return _following(confirmation.sweep, confirmation.confirmation_id, confirmation.suggestions())


def audit_trials(plan: SweepPlan, drawn: Drawn) -> PlannedTrials:
    """Without models, as the sweep keeps none of what it stopped."""
    return _following(plan, audit_id(plan.sweep_id), drawn.suggestions)


def run_follow_up(
    planned: PlannedTrials,
    features: FeatureStore,
    splits: Mapping[str, Split],
    *,
    sweep_row: Mapping[str, Any],
    feature_spec: Mapping[str, Any] | None = None,
    on_news: Callable[[News], None] = lambda news: None,
    on_embedding: Callable[[int, int], None] = lambda rows_done, rows_in_all: None,
) -> PlannedOutcome:
    """Trains and records every trial that is neither complete here nor in the sweep.

    Args:
        splits: by their hash.
        sweep_row: the remaining columns of the `sweeps` table, `kind` among them; recorded once.
        feature_spec: as of `run_planned`.
        on_embedding: called with the number of rows done and of all rows, where frozen backbones are run.

    Raises:
        StorageError: the store failed; nothing is lost, and the same call goes on.
    """

    def embed(configs: list[TrialConfig]) -> Mapping[str, TrialData]:
        return embed_trials(configs, features.load, features, splits, on_progress=on_embedding)

    return run_planned(
        planned,
        features.load,
        splits,
        features.store,
        sweep_row=sweep_row,
        feature_spec=feature_spec,
        on_news=on_news,
        embed=embed,
    )


def _following(plan: SweepPlan, run_id: str, suggestions: tuple[Suggestion, ...]) -> PlannedTrials:
    return PlannedTrials(
        run_id=run_id,
        suggestions=suggestions,
        needs=plan.settings,
        section="sweep",
        device=plan.device,
        # No trial is stopped at its first seed here. Together is slower on a CPU (`ExperimentPlan.fuse_seeds`).
        fuse_seeds="never" if plan.device == "cpu" else "auto",
        of_sweep=plan.sweep_id,
    )
