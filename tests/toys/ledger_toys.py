"""Trials as their rows tell of them, without training any; tests import this by the name `ledger_toys`."""

from collections.abc import Mapping

from storage.results_table import ResultsTable
from sweeps.ledger import Ledger
from sweeps.records import Suggestion, TrialState
from training import TrialConfig
from training.progress import EpochMetrics


def epoch_metrics(epoch: int, score: float) -> EpochMetrics:
    """Of an epoch that took a second."""
    return EpochMetrics(
        epoch=epoch,
        train_loss=1.0,
        validation_loss=1.0,
        validation_accuracy=score,
        validation_score=score,
        validation_kl=1.0,
        learning_rate=0.1,
        epoch_seconds=1.0,
    )


def record_curve(ledger: Ledger, config: TrialConfig, curve: Mapping[int, float]) -> None:
    """One row an epoch, as the trial's process writes them; seed-epochs are counted over all seeds."""
    for seed_epoch, objective in curve.items():
        seed, epoch = divmod(seed_epoch - 1, config.epochs)
        metrics = epoch_metrics(epoch + 1, objective)
        ledger.epoch(config, seed=config.seeds[seed], seed_epoch=seed_epoch, objective=objective, metrics=metrics)


def record_seeds(ledger: Ledger, config: TrialConfig, *, latency_ms: float | None = None) -> None:
    """What makes a finished trial whole: a row and predictions of every seed."""
    results = ResultsTable(ledger.store)
    for seed in config.seeds:
        name, of_seed = f"{config.trial_id}-seed{seed}", {"sweep_id": ledger.sweep_id, "trial_id": config.trial_id}
        answer = {"part": "test", "clip_id": "c", "label": 0, "predicted": 0, "probabilities": [1.0]}
        row = {
            "architecture": config.architecture,
            "best_epoch": 1,
            "epochs_trained": config.epochs,
            "validation_accuracy": 0.5,
            "validation_macro_f1": 0.5,
            "test_accuracy": 0.5,
            "test_macro_f1": 0.5,
            "test_recall": [0.5],
            "test_confusion": [[1]],
            "train_seconds": 1.0,
            "num_parameters": 10,
            "device": "cpu",
            "latency_ms": latency_ms,
        }
        for table, values in (("predictions", answer), ("seeds", row)):
            rows = [{**of_seed, "seed": seed, **values}]
            results.commit(table, sweep_id=ledger.sweep_id, commit=name, rows=rows)


def record_trial(ledger: Ledger, suggestion: Suggestion, state: TrialState | None, curve: Mapping[int, float]) -> None:
    """A trial from its suggestion to its end; `state` None for one that has not ended."""
    config = suggestion.config
    ledger.suggest(suggestion)
    record_curve(ledger, config, curve)
    if state == "finished":
        record_seeds(ledger, config)
    if state:
        last = max(curve, default=0)
        ledger.end(suggestion, state=state, seed_epochs=last, objective=curve.get(last))
