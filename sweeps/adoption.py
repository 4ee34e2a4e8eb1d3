"""What is trained already is not trained again: rows of seeds are taken over from a sweep, and from what followed it.

Enters: planned trials, and the ids under which the same configurations may have been trained. Leaves: copies of their
rows under the id that is running now, and which seeds of every trial these are.

A seed's numbers follow from its configuration and its own number alone, not from the other seeds of its trial
(`training/seed_run.py`): a trial with further seeds takes over those that it has in common with an earlier one.
"""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from storage.chosen_trials import read_trials
from storage.results_table import ResultsTable
from training import TrialConfig, TrialResult

_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """The first seeds of a trial, trained under another id.

    Attributes:
        scores: their best validation scores, in the order of `seeds`.
    """

    seeds: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()

    def is_all_of(self, config: TrialConfig) -> bool:
        return self.seeds == config.seeds

    def rest_of(self, config: TrialConfig) -> TrialConfig:
        """What is left to be trained. Its id means nothing: rows go under that of `config`."""
        return dataclasses.replace(config, seeds=config.seeds[len(self.seeds) :]) if self.seeds else config

    def counted_in(self, config: TrialConfig, *, seed_epoch: int, objective: float) -> tuple[int, float]:
        """Seed-epoch and objective of the whole trial, from those of what is left."""
        if not self.seeds:
            return seed_epoch, objective
        num_begun = -(-seed_epoch // config.epochs)
        total = sum(self.scores) + num_begun * objective
        return len(self.seeds) * config.epochs + seed_epoch, total / (len(self.seeds) + num_begun)

    def whole(self, config: TrialConfig, result: TrialResult) -> TrialResult:
        """The end of the whole trial, from that of what was left."""
        seed_epochs, objective = self.counted_in(config, seed_epoch=result.seed_epochs, objective=result.objective)
        return dataclasses.replace(result, seed_epochs=seed_epochs, objective=objective)

    def end(self, config: TrialConfig) -> tuple[int, float]:
        """Seed-epochs and objective of a trial of which nothing is left to be trained."""
        return len(self.seeds) * config.epochs, sum(self.scores) / len(self.scores)


NOTHING = Adopted()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """A trial that has the first seeds of ours: so many of them whole."""

    run_id: str
    trial_id: str
    num_seeds: int


def earlier_runs(results: ResultsTable, sweep_id: str, *, before: str) -> list[str]:
    """The sweep, then its confirmations and audits that were begun before the run `before`, the oldest first."""
    begun = {row["sweep_id"]: row for row in results.read("sweeps").to_pylist()}
    ours = begun[before]
    followed = [
        (row["started_at"], run_id)
        for run_id, row in begun.items()
        if row["of_sweep"] == sweep_id and run_id != before and row["started_at"] <= ours["started_at"]
    ]
    return [sweep_id, *(run_id for _, run_id in sorted(followed))]


def adopt(
    results: ResultsTable, run_id: str, configs: Iterable[TrialConfig], *, of_runs: Sequence[str]
) -> dict[str, Adopted]:
    """Copies what other runs have of these trials under `run_id`; what was copied before stays.

    Of every trial the longest row of first seeds that some run has whole, with epochs and predictions, is taken over,
    from the first such run. Killed at any moment, the same call goes on.

    Returns:
        trial_id → what is there of it now, of trials of which there is any.
    """
    configs = list(configs)
    sources = _sources(results, configs, of_runs)
    _copy(results, run_id, configs, sources)
    rows = read_trials(results, "seeds", sweep_id=run_id, trial_ids=sources).to_pylist()
    scores = {(row["trial_id"], row["seed"]): _score(row) for row in rows}
    found = {}
    for config in configs:
        if source := sources.get(config.trial_id):
            seeds = config.seeds[: source.num_seeds]
            found[config.trial_id] = Adopted(seeds=seeds, scores=tuple(scores[config.trial_id, seed] for seed in seeds))
    return found


def _sources(results: ResultsTable, configs: Sequence[TrialConfig], of_runs: Sequence[str]) -> dict[str, _Source]:
    """trial_id → where its first seeds are."""
    found: dict[str, _Source] = {}
    wanted = {_but_for_seeds(config) for config in configs}
    for run_id in of_runs:
        trials = _trained(results, run_id, wanted)
        for config in configs:
            for theirs, whole in trials.get(_but_for_seeds(config), ()):
                num_seeds = _num_common(config.seeds, theirs.seeds, whole)
                if num_seeds > (found[config.trial_id].num_seeds if config.trial_id in found else 0):
                    source = _Source(run_id=run_id, trial_id=theirs.trial_id, num_seeds=num_seeds)
                    found[config.trial_id] = source
    return found


def _trained(
    results: ResultsTable, run_id: str, wanted: Collection[str]
) -> dict[str, list[tuple[TrialConfig, set[int]]]]:
    """What a configuration is but for its seeds → trials of the run, with those of their seeds that are whole."""
    seeds = {(row["trial_id"], row["seed"]) for row in results.read("seeds", sweep_id=run_id).to_pylist()}
    predicted = results.commits("predictions", sweep_id=run_id)
    found: dict[str, list[tuple[TrialConfig, set[int]]]] = defaultdict(list)
    for row in results.read("suggestions", sweep_id=run_id).to_pylist():
        config = TrialConfig.from_dict(json.loads(row["configuration"]))
        if _but_for_seeds(config) in wanted and config.trial_id == row["trial_id"]:
            whole = {
                seed
                for seed in config.seeds
                if (config.trial_id, seed) in seeds and _commit(config.trial_id, seed) in predicted
            }
            found[_but_for_seeds(config)].append((config, whole))
    return found


def _copy(results: ResultsTable, run_id: str, configs: Sequence[TrialConfig], sources: Mapping[str, _Source]) -> None:
    """Epochs, then predictions, then the row in `seeds` that says that both are there.

    All under the names that the ledger gives them: what a killed process has trained of a seed itself stays as it is.
    """
    there = results.commits("seeds", sweep_id=run_id)
    missing = [
        (config.trial_id, seed)
        for config in configs
        if config.trial_id in sources
        for seed in config.seeds[: sources[config.trial_id].num_seeds]
        if _commit(config.trial_id, seed) not in there
    ]
    for source_run in sorted({sources[trial_id].run_id for trial_id, _ in missing}):
        of_run = [(trial_id, seed) for trial_id, seed in missing if sources[trial_id].run_id == source_run]
        trial_ids = {sources[trial_id].trial_id for trial_id, _ in of_run}
        for table in ("epochs", "predictions", "seeds"):
            rows: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
            for row in read_trials(results, table, sweep_id=source_run, trial_ids=trial_ids).to_pylist():
                rows[row["trial_id"], row["seed"]].append(row)
            commits: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for trial_id, seed in of_run:
                for row in rows[sources[trial_id].trial_id, seed]:
                    name = _commit(trial_id, seed) + (f"-epoch{row['epoch']:04d}" if table == "epochs" else "")
                    commits[name].append({**row, "sweep_id": run_id, "trial_id": trial_id})
            _commit_all(results, table, run_id, commits)


def _commit_all(
    results: ResultsTable, table: str, run_id: str, commits: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Several at once: every epoch is a commit, and on S3 each takes its time."""

    def commit(name: str) -> bool:
        return results.commit(table, sweep_id=run_id, commit=name, rows=commits[name])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(commit, commits))  # raises what a commit has raised


def _num_common(ours: Sequence[int], theirs: Sequence[int], whole: Collection[int]) -> int:
    """How many seeds both begin with that are whole."""
    num_common = 0
    for our_seed, their_seed in zip(ours, theirs, strict=False):
        if our_seed != their_seed or our_seed not in whole:
            break
        num_common += 1
    return num_common


def _but_for_seeds(config: TrialConfig) -> str:
    return dataclasses.replace(config, seeds=(0,)).trial_id


def _commit(trial_id: str, seed: int) -> str:
    """As `Ledger.seed` names it, and the beginning of what `Ledger.epoch` does."""
    return f"{trial_id}-seed{seed}"


def _score(row: Mapping[str, Any]) -> float:
    score = row["validation_score"]
    return float(row["validation_accuracy"] if score is None else score)
