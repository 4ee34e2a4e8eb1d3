"""By how much the protocol `literature` flatters a configuration that was trained by both protocols.

It does so in two ways that a difference of both cannot tell apart: the epoch is chosen on the test fold, and the clips
that an honest run keeps for validation are trained on.

Enters: an experiment, or a confirmed configuration of a sweep. Leaves: gaps and a section. Experiments of the same
configuration are looked for in the same store: all but split, seeds and device has to be the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from reports.blocks import caption, empty, section
from reports.chosen_by import chosen_by, has_several_labels
from reports.evidence import (
    Estimate,
    ScoreCube,
    accuracy,
    answers_of,
    choice_gap,
    macro_auc,
    optimism_gap,
    run_cube,
)
from reports.finalists import Finalist
from reports.markup import Markup, element
from reports.sweep_results import SweepResults, load_sweep
from reports.tables import table
from reports.text import counted
from storage.errors import InvalidInput

TITLE = "Optimism gap"
_MAY_DIFFER = ("split_hash", "seeds", "device", "quarantine_hash")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Attributes:
    what: which two scores, in words.
    basis: what it rests on.
    estimate: of their mean difference.
    """

    what: str
    basis: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True, eq=False)
class Folds:
    """A configuration over folds. Attributes: fold_of_trial: trial of the source → fold."""

    source: SweepResults
    fold_of_trial: Mapping[str, int]


def folds_of(experiment: SweepResults) -> Folds:
    """Of an experiment, whose trials are its folds."""
    rows = experiment.suggestions
    return Folds(
        source=experiment,
        fold_of_trial={str(trial): int(fold) for trial, fold in zip(rows["trial_id"], rows["fold"], strict=True)},
    )


def clip_cube(one: Folds) -> ScoreCube:
    """What trials are chosen by, clip by clip on test.

    Raises:
        InvalidInput: predictions of a fold are missing.
    """
    one.source.fetch_predictions(list(one.fold_of_trial))
    predictions = pd.concat([one.source.predictions_of(trial_id) for trial_id in one.fold_of_trial])
    answers = answers_of(predictions, one.fold_of_trial, num_labels=len(one.source.labels))
    return macro_auc(answers) if has_several_labels(one.source) else accuracy(answers)


def gap_between(literature: Folds, honest: Folds) -> tuple[Estimate, str]:
    """(literature − honest, what it rests on): clip by clip where predictions of both are stored.

    Raises:
        InvalidInput: they have other folds, or no seed in common.
    """
    try:
        return optimism_gap(clip_cube(literature), clip_cube(honest)), "clips, folds and seeds"
    except InvalidInput:
        score = "test_score" if has_several_labels(honest.source) else "test_accuracy"
        cubes = [run_cube(one.source.seeds, one.fold_of_trial, score=score) for one in (literature, honest)]
        return optimism_gap(*cubes), "folds and seeds"


def counterpart(one: Folds, *, protocol: str) -> SweepResults | None:
    """The newest experiment of the same configuration and folds by this protocol; None where there is none."""
    ours, columns = one.source.sweep, ["sweep_id", "kind", "protocol", "dataset", "fingerprint", "started_at"]
    rows = one.source.results.read("sweeps", columns=columns).to_pandas()
    same = (rows["dataset"] == ours["dataset"]) & (rows["fingerprint"] == ours["fingerprint"])
    found = rows[same & (rows["kind"] == "experiment") & (rows["protocol"].fillna("honest") == protocol)]
    for sweep_id in found.sort_values("started_at", ascending=False)["sweep_id"]:
        read = one.source.results.read("suggestions", sweep_id=str(sweep_id)).to_pandas()
        if _recipes(read) == _recipes(_planned(one)) and set(read["fold"]) == set(one.fold_of_trial.values()):
            return load_sweep(one.source.results, str(sweep_id))
    return None


def gaps_of_experiment(experiment: SweepResults) -> list[Gap]:
    """All that can be told: of a literature experiment also what the choice of the epoch alone gains."""
    ours = folds_of(experiment)
    is_literature = experiment.sweep.get("protocol") == "literature"
    gaps = []
    if is_literature:
        try:
            gain = choice_gap(experiment.epochs, ours.fold_of_trial)
            gaps.append(
                Gap(what="best epoch on test − last epoch, in this run", basis="folds and seeds", estimate=gain)
            )
        except InvalidInput:
            pass  # not every fold is there yet
    other = counterpart(ours, protocol="honest" if is_literature else "literature")
    if other is not None:
        theirs = folds_of(other)
        literature, honest = (ours, theirs) if is_literature else (theirs, ours)
        gaps += _gap(f"literature − honest ({other.sweep_id})", literature, honest)
    return gaps


def gaps_of_finalists(finalists: Sequence[Finalist]) -> list[Gap]:
    """Of configurations that were confirmed over folds, and are also in an experiment by the protocol `literature`."""
    gaps = []
    for finalist in finalists:
        if finalist.num_folds > 1:
            ours = Folds(source=finalist.source, fold_of_trial=finalist.fold_of_trial)
            other = counterpart(ours, protocol="literature")
            if other is not None:
                gaps += _gap(f"{finalist.name}: literature ({other.sweep_id}) − confirmed", folds_of(other), ours)
    return gaps


def optimism_section(sweep: SweepResults, gaps: Sequence[Gap], *, is_expected: bool) -> Markup | None:
    """Args: is_expected: whether a reader is told that there is nothing to compare with."""
    if not gaps and not is_expected:
        return None
    if not gaps:
        how = "Shown once all folds are complete, and against an honest run of the same configuration in this store."
        return section(TITLE, empty(how))
    score = chosen_by(sweep)
    text = (
        f"By how much the protocol of the literature flatters the test {score.name} of one and the same configuration. "
        "Above 0: it looks better than it is. Literature − honest is the worth of two things: the epoch is chosen on "
        "the test fold, and no part of the training folds is kept for validation, so that there is more to train on. "
        "Best − last epoch, on a literature experiment's own page, is the choice of the epoch alone."
    )
    header = (
        ("what", "words"),
        (f"gap{', points' if score.is_share else ''}", "number"),
        ("95 % interval", "number"),
        ("rests on", "words"),
    )
    cells = []
    for gap in gaps:
        found, interval = gap.estimate, gap.estimate.interval
        ends = (interval.low, interval.high) if interval else ()
        cells.append(
            (
                gap.what,
                element("strong", score.told_difference(found.mean)),
                " to ".join(score.told_difference(end) for end in ends) or "–",
                f"{gap.basis}: {counted(found.num_folds, 'fold')}, {counted(found.num_seeds, 'seed')}",
            )
        )
    return section(TITLE, caption(text), table(TITLE, header, cells))


def _gap(what: str, literature: Folds, honest: Folds) -> list[Gap]:
    try:
        estimate, basis = gap_between(literature, honest)
    except InvalidInput:
        return []  # a fold or a seed is missing yet
    return [Gap(what=what, basis=basis, estimate=estimate)]


def _planned(one: Folds) -> pd.DataFrame:
    rows = one.source.suggestions
    return rows[rows["trial_id"].isin(list(one.fold_of_trial))]


def _recipes(suggestions: pd.DataFrame) -> set[str]:
    """What the trials are but for split, seeds and device; of one configuration over folds a single one."""
    configurations = [json.loads(text) for text in suggestions["configuration"]]
    kept = [{name: value for name, value in one.items() if name not in _MAY_DIFFER} for one in configurations]
    return {json.dumps(one, sort_keys=True) for one in kept}
