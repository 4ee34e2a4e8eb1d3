"""The main job: recordings → features → split → search → confirmation → audit → report. Run again, it resumes.

python jobs/sweep.py data.root=<ESC-50 tree> sweep.num_trials=12 storage.uri=s3://bucket/prefix
python jobs/sweep.py preset=embedded data.root=workspace/data/synthetic
python jobs/sweep.py --smoke data.root=<ESC-50 tree>
python jobs/sweep.py --plan data.root=<ESC-50 tree> cluster.price_per_cpu_hour=0.05

--plan prints what the same command without it would take, as far as this machine can tell: clips, trials, seed-epochs,
memory, bytes, time and, at your prices, cost. It computes a few clips and trains a few steps, starts no Ray and writes
nothing. For other machines say cluster.num_cpus, or sweep.max_concurrent_trials where they have GPUs.
While it searches, `tensorboard --logdir workspace/logs` shows every trial, and compares them under HParams;
log.kinds=[tensorboard,wandb,mlflow] tells others, too. What follows the search: `sweep.confirm.*` says which
configurations are confirmed over further seeds and folds, `sweep.audit.share` how many stopped trials are run to their
end to tell whether it was right to stop them.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

from cluster.job_metadata import tell_job
from cluster.session import ray_session
from jobs.command_line import parse_settings, usage
from jobs.console import lines_of_progress, progress, run_job, say
from jobs.follow_ups import Searched, Splits, audit, confirm, splits_to_confirm_on
from jobs.other_jobs import NOT_OF_SWEEP, NOT_OF_SWEEP_OVER_FOLDS
from jobs.settings import SMOKE, JobSettings
from jobs.stages import find_recordings, make_features, open_checked_store, print_scores, versions, write_report
from jobs.sweep_plan import print_plan
from pipelines.manifest import Manifest
from pipelines.splits import draw_split
from reports import SweepResults, leaderboard
from reports.chosen_by import ACCURACY, MACRO_AUC
from reports.confirmed import newest_confirmed
from storage.feature_store import FeatureStore
from storage.model_file import model_key
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from storage.split import PARTS, Split, load_split, save_split
from sweeps import SweepPlan, run_sweep
from sweeps.configurations import check_labels, check_published_weights, with_weights_hash
from sweeps.embeddings import embed_for_plan
from sweeps.loggers import TrialLogs
from sweeps.resources import choose_device, trial_resources
from sweeps.warm_start import check_warm_start
from sweeps.watch import SweepProgress
from training import TrialData, load_trial_data
from training.embeddings import can_train_head

_PLAN = "--plan"


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_sweep, argv, usage=usage(__doc__, JobSettings))


def _sweep(words: Sequence[str]) -> int:
    is_planned = _PLAN in words
    words = [word for word in words if word != _PLAN]
    settings = _settings(words)
    lines_of_progress(every_s=settings.log.line_every_s)
    manifest = find_recordings(settings)
    split = draw_split(manifest, settings.split)
    splits = splits_to_confirm_on(manifest, split, settings, is_smoke="--smoke" in words)
    logs = TrialLogs(settings.log, say=say)
    plan = SweepPlan(
        settings=settings.sweep,
        dataset=manifest.dataset,
        fingerprint=settings.features.fingerprint,
        split_hash=split.split_hash,
        device="cpu",
    )
    plan.check(feature_shape=settings.features.feature_shape)
    # What can be known now is told now, and not after hours of featurizing.
    _check_trials(plan, manifest, {None: split, **splits})
    if is_planned:
        print_plan(plan, settings, manifest, split, splits)
        return 0
    store = open_checked_store(settings.storage)
    check_warm_start(plan, ResultsTable(store))
    with ray_session(address=settings.cluster.address, num_cpus=settings.cluster.num_cpus):
        plan = dataclasses.replace(plan, device=choose_device(settings.sweep))
        trial_resources(settings.sweep, device=plan.device, section="sweep")
        features = make_features(manifest, settings, store).features
        plan = dataclasses.replace(plan, quarantine_hash=features.quarantine_hash())
        tell_job(sweep=plan.sweep_id, storage=store.uri)
        save_split(store, split)
        split = load_split(store, dataset=manifest.dataset, split_hash=split.split_hash)
        row, num_not_run = _search(plan, features, split, settings, logs)
        spec = dataclasses.asdict(settings.features)
        searched = Searched(plan=plan, features=features, splits=splits, split=split, row=row, feature_spec=spec)
        num_not_run += confirm(searched) + audit(searched)
    return _conclude(plan, store, settings, num_not_run=num_not_run)


def _conclude(plan: SweepPlan, store: ObjectStore, settings: JobSettings, *, num_not_run: int) -> int:
    """Writes the report and says what it is about; the job's exit code."""
    sweep, path = write_report(store, plan.sweep_id, settings.report)
    print_scores(sweep)
    key = next((key for key in _models_of_best(sweep) if store.size_bytes(key) is not None), None)
    if key is not None:
        say(f"to use the first: python jobs/predict.py storage.uri={store.uri} model={key} files=<file or folder>")
    say(f"report: {path}")
    return 1 if num_not_run else 0


def _models_of_best(sweep: SweepResults) -> list[str]:
    """Where models of the best configuration may lie, those of the search first: they were trained on its split."""
    rows, confirmed = leaderboard(sweep), newest_confirmed(sweep)
    if confirmed is None or not confirmed.is_complete:
        return [model_key(sweep.sweep_id, row.trial_id, row.seeds[0]) for row in rows[:1]]
    number = confirmed.finalists[0].number
    searched = [(sweep.sweep_id, row.trial_id, seed) for row in rows if row.number == number for seed in row.seeds]
    return [model_key(*place) for place in (*searched, *confirmed.places_of_first)]


def _settings(words: Sequence[str]) -> JobSettings:
    """Those of the command line; `folds` are looked at, and so allowed there, where a confirmation is over folds."""
    settings = parse_settings(JobSettings, words, smoke=SMOKE, not_used=NOT_OF_SWEEP_OVER_FOLDS)
    if not settings.sweep.confirm.folds:
        settings = parse_settings(JobSettings, words, smoke=SMOKE, not_used=NOT_OF_SWEEP)
    searched = dataclasses.replace(settings.sweep, trial=with_weights_hash(settings.sweep.trial))
    return dataclasses.replace(settings, sweep=searched)


def _check_trials(plan: SweepPlan, manifest: Manifest, splits: Splits) -> None:
    labels_of_clip = {clip.clip_id: clip.labels for clip in manifest.clips}
    for architecture in plan.settings.architectures:
        config = plan.trial_config(architecture, {})
        for fold, split in splits.items():
            where = "" if fold is None else f" of fold {fold}"
            check_labels(labels_of_clip, split, config, section="sweep", where=where)
        check_published_weights(config)


def _embed(plan: SweepPlan, data: TrialData, features: FeatureStore, split: Split) -> tuple[TrialData, ...]:
    """Runs frozen backbones once; says why where one has to run in every epoch."""
    for architecture in plan.settings.architectures:
        config = plan.trial_config(architecture, {})
        reason = can_train_head(config)
        if reason is not None and config.freeze == "backbone":
            say(f"{architecture}: the frozen backbone runs in every epoch: {reason}")
    with progress("embed, rows") as tell:
        return embed_for_plan(plan, data, features, split, on_progress=lambda done, total: tell(done, total))


def _search(
    plan: SweepPlan, features: FeatureStore, split: Split, settings: JobSettings, logs: TrialLogs
) -> tuple[dict[str, Any], int]:
    """Searches; the data are in this process's memory only while it does.

    Returns:
        The row of the sweep, and the number of trials that could not be run.
    """
    recipe = plan.trial_config(plan.settings.architectures[0], {})  # no space searches its labels
    data = load_trial_data(features.load(), split, unseen_labels=recipe.loss.unseen_labels)
    say(f"split {split.split_hash}: {split.policy} ({_counts(split)} clips)")
    embedded = _embed(plan, data, features, split)
    row = _sweep_row(settings, plan, split, data)
    return row, _run_search(plan, data, features.store, settings, row, embedded, logs)


def _run_search(
    plan: SweepPlan,
    data: TrialData,
    store: ObjectStore,
    settings: JobSettings,
    row: dict[str, Any],
    embedded: tuple[TrialData, ...],
    logs: TrialLogs,
) -> int:
    score = (MACRO_AUC if data.is_multi_label else ACCURACY).name
    # Of an adaptive sweep few trials end before its budget is spent.
    counted = "seed-epochs" if plan.settings.scheduler == "adaptive" else "trials"
    with progress(f"sweep, {counted}") as tell:

        def on_progress(now: SweepProgress) -> None:
            best = "" if now.best_objective is None else f", best validation {score} {now.best_objective:.3f}"
            states = ", ".join(f"{number} {state}" for state, number in now.states.items() if number)
            if now.budget_epochs is None:
                tell(
                    now.trials_ended, now.trials_in_all, f"{states} | {now.seed_epochs} seed-epochs{best} | {now.last}"
                )
            else:
                tell(now.seed_epochs, now.budget_epochs, f"{states}{best} | {now.last}")

        spec = dataclasses.asdict(settings.features)
        outcome = run_sweep(
            plan,
            data,
            store,
            sweep_row=row,
            feature_spec=spec,
            on_progress=on_progress,
            embedded=embedded,
            logs=logs,
            say=say,
        )
    failed = f", {outcome.num_failed} failed" if outcome.num_failed else ""
    say(f"sweep {plan.sweep_id}: {outcome.num_trials_run} trials run now, {outcome.num_trials_found} found{failed}")
    if outcome.num_given_up:
        say(f"{outcome.num_given_up} trials could not be run (see the report); the same command tries them again")
    return outcome.num_given_up


def _sweep_row(settings: JobSettings, plan: SweepPlan, split: Split, data: TrialData) -> dict[str, Any]:
    return {
        "dataset": plan.dataset,
        "fingerprint": plan.fingerprint,
        "split_hash": plan.split_hash,
        "split_policy": split.policy,
        "labels": list(data.labels),
        "settings": json.dumps(dataclasses.asdict(settings)),
        "versions": json.dumps(versions()),
    }


def _counts(split: Split) -> str:
    return " / ".join(str(len(split.clip_ids(part))) for part in PARTS)


if __name__ == "__main__":
    sys.exit(main())
