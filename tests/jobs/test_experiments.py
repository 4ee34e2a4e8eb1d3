"""jobs/experiments.py and reports by number, over experiments on a store whose rows are written by hand."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jobs import experiments, report
from storage.experiments import experiment_number
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from sweeps.ledger import Ledger

SWEEP_ROW = {
    "dataset": "toy-0",
    "fingerprint": "f" * 16,
    "split_hash": "5" * 16,
    "split_policy": "by hand",
    "labels": ["alarm", "bell"],
    "settings": "{}",
    "versions": "{}",
    "kind": "experiment",
}


class Table:
    """Writes rows of experiments of two folds and two seeds."""

    def __init__(self, store: ObjectStore) -> None:
        self._results, self._store = ResultsTable(store), store

    def begin(self, experiment_id: str, *, protocol: str = "honest") -> None:
        experiment_number(self._store, experiment_id, about={})
        Ledger(self._results, experiment_id).start({**SWEEP_ROW, "protocol": protocol})
        for fold in (1, 2):
            row = {
                "trial_id": f"trial{fold}",
                "number": fold - 1,
                "architecture": "cnn",
                "parameters": "{}",
                "distributions": "{}",
                "configuration": json.dumps({"seeds": [1, 2], "loss": {"kind": "cross_entropy"}}),
                "untuned_default": False,
                "fold": fold,
            }
            self._commit("suggestions", experiment_id, f"number{fold}", row)

    def seed(self, experiment_id: str, fold: int, seed: int, score: float) -> None:
        row = {
            "trial_id": f"trial{fold}",
            "architecture": "cnn",
            "seed": seed,
            "best_epoch": 1,
            "epochs_trained": 1,
            "test_recall": [score, score],
            "test_confusion": [[1, 0], [0, 1]],
            "train_seconds": 1.0,
            "num_parameters": 1,
            "device": "cpu",
            "test_score": score,
            "scores": json.dumps({"test": {"accuracy": score}}),
        }
        for name in ("validation_accuracy", "validation_macro_f1", "test_accuracy", "test_macro_f1"):
            row[name] = score
        self._commit("seeds", experiment_id, f"trial{fold}-seed{seed}", row)

    def end(self, experiment_id: str, fold: int, state: str) -> None:
        row = {"trial_id": f"trial{fold}", "number": fold - 1, "architecture": "cnn", "state": state}
        self._commit("trials", experiment_id, f"trial{fold}", {**row, "seed_epochs": 1, "ended_at": 0})

    def _commit(self, table: str, experiment_id: str, commit: str, row: dict[str, Any]) -> None:
        self._results.commit(table, sweep_id=experiment_id, commit=commit, rows=[{"sweep_id": experiment_id, **row}])


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """Four experiments: finished, failed, unfinished, and finished by the literature's protocol."""
    store = open_store(str(tmp_path / "store"))
    table = Table(store)
    for name, protocol in (("done-1", "honest"), ("bad-2", "honest"), ("open-3", "honest"), ("paper-4", "literature")):
        table.begin(name, protocol=protocol)
    for name in ("done-1", "paper-4"):
        for fold, seed, score in ((1, 1, 0.5), (2, 1, 0.7), (1, 2, 0.7), (2, 2, 0.9)):
            table.seed(name, fold, seed, score)
        for fold in (1, 2):
            table.end(name, fold, "finished")
    for name in ("bad-2", "open-3"):
        table.seed(name, 1, 1, 0.5)
        table.end(name, 1, "finished")
    table.end("bad-2", 2, "failed")
    return str(store.uri)


def _told(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert experiments.main(words) == 0
    return capsys.readouterr().out


def test_every_experiment_has_a_line_with_its_state_and_score(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = _told([f"storage.uri={uri}"], capsys)
    assert re.search(r"0001\s+done\s+[-\d]+ [:\d]+\s+finished\s+2 of 2\s+0\.700 ± 0\.141\s+done-1", told)
    assert re.search(r"0002\s+bad\s+[-\d]+ [:\d]+\s+failed\s+1 of 2\s+–\s+bad-2", told)
    assert re.search(r"0003\s+open\s+[-\d]+ [:\d]+\s+unfinished\s+1 of 2\s+–\s+open-3", told)
    assert re.search(r"0004\s+paper\s.*0\.700 ± 0\.141 \(literature\)", told)


def test_a_store_without_experiments_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no experiment" in _told([f"storage.uri={tmp_path}"], capsys)


@pytest.mark.parametrize("number", [2, 3])
def test_what_failed_or_is_unfinished_can_be_removed(number: int, uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"storage.uri={uri}", f"remove={number}"]
    assert experiments.main(words) == 2
    assert "stop its job, or lower min_idle_minutes" in capsys.readouterr().err
    assert f"removed experiment 000{number}" in _told([*words, "min_idle_minutes=0"], capsys)
    told = _told([f"storage.uri={uri}"], capsys)
    assert f"000{number}" not in told
    assert told.count("of 2") == 3
    store = open_store(uri)
    assert not [info.key for info in store.list("results/") if ("bad-2", "open-3")[number - 2] in info.key]
    assert experiment_number(store, "next-5", about={}) == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["remove=1", "min_idle_minutes=0"], "remove: got 1; allowed: an experiment that has failed or is unfinished"),
        (["remove=9"], "experiment: got 9; allowed: one of 1, 2, 3, 4"),
        (["remove=-1"], "experiments.remove: got -1"),
    ],
)
def test_what_cannot_be_removed_is_told(
    words: list[str], told: str, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [info.key for info in open_store(uri).list("")]
    assert experiments.main([f"storage.uri={uri}", *words]) == 2
    assert told in capsys.readouterr().err
    assert [info.key for info in open_store(uri).list("")] == before


def test_a_report_is_had_by_number(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([f"storage.uri={uri}", "experiment=3", "format=json"]) == 0
    assert [row["fold"] for row in json.loads(capsys.readouterr().out)] == [1]
    assert report.main([f"storage.uri={uri}", "experiment=7", "format=json"]) == 2
    assert "experiment: got 7; allowed: one of 1, 2, 3, 4" in capsys.readouterr().err
    assert report.main([f"storage.uri={uri}", "experiment=3", "sweep_id=open-3"]) == 2
    assert "allowed: one of the two" in capsys.readouterr().err
