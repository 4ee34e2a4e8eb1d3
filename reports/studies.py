"""The sweep's Optuna studies, rebuilt from the results table: which hyperparameters mattered, and a file of them.

Enters: a `SweepResults`. Leaves: importances, or a storage that optuna-dashboard opens. The only file of this room that
imports optuna. Stopped trials are PRUNED, failed ones FAIL, as the sweep told its own studies.
"""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import json_to_distribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from reports.parameter_axes import common_scores
from reports.sweep_results import SweepResults
from reports.trials import TrialSummary, trial_summaries
from storage.errors import InvalidInput

LEAST_TRIALS = 8  # fewer say nothing about half a dozen parameters
_TOP = 0.25  # whose parameters are compared with all others'
_SHUFFLES, _QUANTILE = 59, 0.95
_STATES = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
# Of objectives beside the score, which is higher when better.
_DIRECTIONS = {
    "score": StudyDirection.MAXIMIZE,
    "num_parameters": StudyDirection.MINIMIZE,
    "latency_ms": StudyDirection.MINIMIZE,
}
_SQLITE, _JOURNAL = (".db", ".sqlite", ".sqlite3"), (".log", ".journal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """One hyperparameter.

    Attributes:
        value: as PED-ANOVA has it; 0 where the best quarter's values are spread like all others'.
        share: of the sum over all parameters.
        by_chance: the value that 95 of 100 shuffles of the scores stay below; one that is no larger tells nothing.
    """

    name: str
    value: float
    share: float
    by_chance: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Importances:
    """Of one architecture, the most important first.

    Attributes:
        num_trials: that it rests on.
        seed_epochs: at which all of them are compared.
    """

    architecture: str
    num_trials: int
    seed_epochs: int
    parameters: tuple[Importance, ...]


def importances(sweep: SweepResults, architecture: str, *, num_shuffles: int = _SHUFFLES) -> Importances | None:
    """By PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255): how much the best quarter's parameters differ from all.

    None with fewer than LEAST_TRIALS trials, or where nothing was searched. The same numbers every time.
    """
    seed_epochs, score_of = common_scores(sweep, architecture)
    rows = sweep.suggestions[sweep.suggestions["trial_id"].isin(list(score_of))]
    if len(rows) < LEAST_TRIALS or not any(json.loads(text) for text in rows["distributions"]):
        return None
    scores = []
    with _quiet():
        study = optuna.create_study(direction="maximize")
        for row in rows.itertuples():
            scores.append(score_of[str(row.trial_id)])
            study.add_trial(_frozen(row, TrialState.COMPLETE, values=[scores[-1]]))
        found = _values(study, np.array(scores))
        rng = np.random.default_rng(0)
        shuffled = [_values(study, rng.permutation(scores)) for _ in range(num_shuffles)]
    return Importances(
        architecture=architecture,
        num_trials=len(rows),
        seed_epochs=seed_epochs,
        parameters=tuple(
            Importance(
                name=name,
                value=value,
                share=value / (sum(found.values()) or 1.0),
                by_chance=float(np.quantile([values[name] for values in shuffled], _QUANTILE)),
            )
            for name, value in sorted(found.items(), key=lambda item: (-item[1], item[0]))
        ),
    )


def export_studies(sweep: SweepResults, into: str) -> list[tuple[str, int]]:
    """Writes one study per architecture into a new file: SQLite (`.db`), or Optuna's journal (`.log`).

    Returns:
        (name of a study, number of its trials), in the order of architectures.

    Raises:
        InvalidInput: the file is there already, has another ending, or cannot be written.
    """
    path = Path(into)
    if path.suffix not in (*_SQLITE, *_JOURNAL):
        allowed = f"a file name that ends in {', '.join((*_SQLITE, *_JOURNAL))}"
        raise InvalidInput("into", given=into, allowed=allowed, remedy="Choose study.db.")
    if path.exists():
        raise InvalidInput("into", given=into, allowed="a new file", remedy="Choose another name, or delete it first.")
    part = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _quiet():
            found = _write(sweep, part)
        os.replace(part, path)
    except OSError as e:
        raise InvalidInput("into", given=into, allowed="a file in a folder that can be written", remedy=f"{e}.") from e
    finally:
        if part.exists():
            part.unlink()
    return found


def _write(sweep: SweepResults, path: Path) -> list[tuple[str, int]]:
    storage = _storage(path)
    try:
        return _add_studies(sweep, storage)
    finally:
        if isinstance(storage, RDBStorage):  # or the file stays open
            storage.remove_session()
            storage.engine.dispose()


def _add_studies(sweep: SweepResults, storage: BaseStorage) -> list[tuple[str, int]]:
    summaries = {trial.trial_id: trial for trial in trial_summaries(sweep)}
    ends = {str(row.trial_id): row for row in sweep.trials.itertuples()}
    epochs = {str(trial_id): rows for trial_id, rows in sweep.epochs.groupby("trial_id")}
    found = []
    for architecture in sorted(set(sweep.suggestions["architecture"])):
        name = f"{sweep.sweep_id}: {architecture}"
        directions = [_DIRECTIONS[objective] for objective in _objectives(sweep)]
        study = optuna.create_study(study_name=name, storage=storage, directions=directions)
        study.set_user_attr("sweep_id", sweep.sweep_id)
        study.set_user_attr("dataset", str(sweep.sweep["dataset"]))
        rows = sweep.suggestions[sweep.suggestions["architecture"] == architecture]
        for row in rows.itertuples():
            trial_id = str(row.trial_id)
            study.add_trial(_exported(sweep, row, summaries[trial_id], ends.get(trial_id), epochs.get(trial_id)))
        found.append((name, len(rows)))
    return found


def _storage(path: Path) -> BaseStorage:
    if path.suffix in _SQLITE:
        return RDBStorage(f"sqlite:///{path}")
    return JournalStorage(JournalFileBackend(str(path)))


def _exported(
    sweep: SweepResults, row: Any, summary: TrialSummary, end: Any, epochs: pd.DataFrame | None
) -> FrozenTrial:
    """A trial with its learning curve, its fate in words and its times; a trial that has not ended counts as
    running."""
    seeds = sweep.seeds[sweep.seeds["trial_id"] == row.trial_id]
    state, values = _end(sweep, end, seeds)
    curve = (
        {} if epochs is None else dict(zip(epochs["seed_epoch"].tolist(), epochs["objective"].tolist(), strict=True))
    )
    accuracies = zip(seeds["seed"], seeds["validation_accuracy"], strict=True)
    about = {
        "trial_id": str(row.trial_id),
        "number in the sweep": int(row.number),
        "untuned default": bool(row.untuned_default),
        "fate": summary.why,
        **{f"validation accuracy, seed {seed}": float(accuracy) for seed, accuracy in accuracies},
    }
    trial = _frozen(row, state, values=values, curve=curve, about=about)
    _set_times(trial, sweep, end, epochs)
    return trial


def _end(sweep: SweepResults, end: Any, seeds: pd.DataFrame) -> tuple[TrialState, list[float] | None]:
    """State, and the values of all objectives. Of a pruned trial Optuna keeps the last score where there is no other
    objective; one that finished without a finite value of each counts as failed."""
    if end is None:
        return TrialState.RUNNING, None
    names = _objectives(sweep)
    score = float("nan") if end.objective is None else float(end.objective)
    latency_ms = seeds["latency_ms"].median() if "latency_ms" in seeds else float("nan")
    known = {"score": score, "num_parameters": seeds["num_parameters"].max(), "latency_ms": latency_ms}
    values = [float(known[name]) for name in names]
    state, is_whole = _STATES[end.state], bool(np.isfinite(values).all())
    if state == TrialState.COMPLETE:
        return (state, values) if is_whole else (TrialState.FAIL, None)
    return state, values if state == TrialState.PRUNED and is_whole and len(names) == 1 else None


def _objectives(sweep: SweepResults) -> list[str]:
    """Older sweeps looked for the score alone."""
    return list(sweep.settings.get("sweep", {}).get("objectives", ["score"]))


def _set_times(trial: FrozenTrial, sweep: SweepResults, end: Any, epochs: pd.DataFrame | None) -> None:
    """The end as recorded; the start so long before it as its epochs took. Optuna's times are local and naive."""
    took = pd.Timedelta(seconds=0.0 if epochs is None else float(epochs["epoch_seconds"].sum()))
    if end is None:
        trial.datetime_start, trial.datetime_complete = _local(sweep.sweep["started_at"]), None
    else:
        trial.datetime_start, trial.datetime_complete = _local(end.ended_at - took), _local(end.ended_at)


def _local(moment: Any) -> Any:
    return pd.Timestamp(moment).to_pydatetime().astimezone().replace(tzinfo=None)


def _frozen(
    row: Any,
    state: TrialState,
    *,
    values: list[float] | None,
    curve: dict[int, float] | None = None,
    about: dict[str, Any] | None = None,
) -> FrozenTrial:
    """A row of suggestions as a trial of a study."""
    parameters, kinds = json.loads(row.parameters), json.loads(row.distributions)
    searched = {name: json_to_distribution(kinds[name]) for name in parameters if name in kinds}
    return optuna.create_trial(
        state=state,
        params={name: parameters[name] for name in searched},
        distributions=searched,
        values=values,
        intermediate_values=curve or {},
        user_attrs=about or {},
    )


def _values(study: optuna.Study, scores: NDArray[np.float64]) -> dict[str, float]:
    """Name → importance; not normalized, as shares of different shuffles could not be compared."""
    return get_param_importances(
        study,
        evaluator=PedAnovaImportanceEvaluator(target_quantile=_TOP),
        target=lambda trial: -float(scores[trial.number]),
        normalize=False,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's log lines and its warnings of what is still experimental or rests on few trials."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
