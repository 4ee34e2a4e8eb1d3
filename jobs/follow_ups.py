"""What follows the search in the main job: its best configurations are confirmed, and some of its stops are audited.

Enters: an ended sweep, its features and the splits to confirm on. Leaves: rows under ids of their own, a line of text
for each stage, and the number of trials that could not be run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.console import progress, say
from jobs.seed_epochs import SeedEpochs
from jobs.settings import JobSettings
from pipelines.folds import draw_folds
from pipelines.manifest import Manifest
from storage.errors import InvalidInput
from storage.feature_store import FeatureStore
from storage.results_table import ResultsTable
from storage.split import Split, save_split
from sweeps import SweepPlan
from sweeps.confirmation import ConfirmationPlan
from sweeps.records import Suggestion
from sweeps.run_follow_ups import (
    audit_trials,
    confirmation_trials,
    draw_audit,
    find_confirmation,
    run_follow_up,
)
from sweeps.run_planned import PlannedTrials

# What --smoke leaves of the folds: sizes, nothing else.
_NUM_SMOKE_FOLDS = 1

Splits = Mapping[int | None, Split]


@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """A sweep whose search has ended.

    Attributes:
        splits: to confirm on; None stands for the sweep's own split.
        split: the sweep's own.
        row: of the sweep in the table of sweeps.
        feature_spec: of the features, field by field.
    """

    plan: SweepPlan
    features: FeatureStore
    splits: Splits
    split: Split
    row: Mapping[str, Any]
    feature_spec: Mapping[str, Any]


def splits_to_confirm_on(manifest: Manifest, split: Split, settings: JobSettings, *, is_smoke: bool) -> Splits:
    """The sweep's own split, or those of all folds where these are asked for.

    Raises:
        InvalidInput: the folds cannot be drawn, or epochs would be chosen on their test clips.
    """
    if not settings.sweep.confirm.folds:
        return {None: split}
    if settings.folds.protocol != "honest":
        raise InvalidInput(
            "folds.protocol",
            given=settings.folds.protocol,
            allowed="honest, where configurations are confirmed over folds",
            remedy="Say folds.protocol=honest, or leave sweep.confirm.folds out.",
        )
    splits = list(draw_folds(manifest, settings.folds).items())
    return dict(splits[:_NUM_SMOKE_FOLDS] if is_smoke else splits)


def confirm(searched: Searched) -> int:
    """Runs the best configurations of each architecture and its untuned default to their end, if that adds something.

    Returns:
        How many trials could not be run; the same command tries them again.
    """
    confirmation = find_confirmation(searched.plan, _results(searched), searched.splits)
    if confirmation is None:
        if searched.plan.settings.confirm.best:
            say("confirmation: no configuration has ended that could be confirmed")
        return 0
    for architecture in confirmation.without_default:
        say(f"confirmation: the untuned default of {architecture} failed or is still open, and is not confirmed")
    if not confirmation.adds_something:
        say(
            f"confirmation: the sweep itself has all seeds of the {len(confirmation.chosen)} configurations on its "
            "split; sweep.confirm.folds=true and sweep.confirm.seeds=[…] confirm them on more"
        )
        return 0
    planned = confirmation_trials(confirmation)
    say(f"confirmation {planned.run_id}: {_size(confirmation, searched.splits)}")
    for split in searched.splits.values():
        save_split(searched.features.store, split)
    row = {**searched.row, **_of_splits([split for _, split in sorted(searched.splits.items(), key=_place)])}
    numbers = {suggestion.config.trial_id: suggestion.number for suggestion in confirmation.chosen}
    names = {one.number: _name(one, numbers[str(one.of_trial)]) for one in planned.suggestions}
    return _run(planned, searched, names, {**row, "kind": "confirmation"}, keeps_models=True)


def audit(searched: Searched) -> int:
    """Runs a random share of the stopped trials to their end.

    Returns:
        As `confirm`.
    """
    share = searched.plan.settings.audit.share
    drawn = draw_audit(searched.plan, _results(searched))
    if not drawn.suggestions:
        if share and drawn.num_stopped:
            say(f"audit: of {drawn.num_stopped} stopped trials none was drawn (sweep.audit.share={share:g})")
        return 0
    planned = audit_trials(searched.plan, drawn)
    say(
        f"audit {planned.run_id}: {len(drawn.suggestions)} of {drawn.num_stopped} stopped trials are run to their end "
        f"(sweep.audit.share={share:g})"
    )
    names = {one.number: _name(one, one.number) for one in planned.suggestions}
    return _run(planned, searched, names, {**searched.row, "kind": "audit"}, keeps_models=False)


def _run(
    planned: PlannedTrials, searched: Searched, names: Mapping[int, str], row: Mapping[str, Any], *, keeps_models: bool
) -> int:
    """Trains what is left of the trials, and says what came of them. Args: names: number → what people call it."""
    splits = {split.split_hash: split for split in (searched.split, *searched.splits.values())}
    config, title = planned.suggestions[0].config, str(row["kind"])
    with progress(f"{title}, seed-epochs") as tell:
        outcome = run_follow_up(
            planned,
            searched.features,
            splits,
            sweep_row=row,
            feature_spec=searched.feature_spec if keeps_models else None,
            on_news=SeedEpochs(tell, names, per_trial=len(config.seeds) * config.epochs),
            on_embedding=lambda done, total: tell(done, total, "rows embedded"),
        )
    say(f"{title}: {outcome.num_run} trials run now, {outcome.num_found} found or taken over from the sweep")
    for number, failure in sorted(outcome.failed.items()):
        again = "; the same command tries it again" if failure.is_open else ""
        say(f"{title}: {names[number]} failed: {failure.reason}{again}")
    return outcome.num_open


def _size(confirmation: ConfirmationPlan, splits: Splits) -> str:
    counted = f"{len(confirmation.chosen)} configurations × {len(confirmation.seeds)} seeds"
    return counted if None in splits else f"{counted} × {len(splits)} folds"


def _name(suggestion: Suggestion, number: int) -> str:
    """A trial by its number in the sweep, as people speak of it: `cnn #3`, `cnn #3 fold 2`."""
    fold = "" if suggestion.fold is None else f" fold {suggestion.fold}"
    return f"{suggestion.config.architecture} #{number}{fold}"


def _of_splits(splits: Sequence[Split]) -> dict[str, str]:
    return {
        "split_hash": ", ".join(split.split_hash for split in splits),
        "split_policy": "; ".join(split.policy for split in splits),
    }


def _place(item: tuple[int | None, Split]) -> int:
    return -1 if item[0] is None else item[0]


def _results(searched: Searched) -> ResultsTable:
    return ResultsTable(searched.features.store)
