"""Collecting garbage as a person does: first a list, then the deed."""

import time
from pathlib import Path

import numpy as np
import pytest
from feature_toys import commit_rows, make_rows

from jobs import collect
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable


@pytest.fixture
def disk(tmp_path: Path) -> ObjectStore:
    """Two sets of features, the first of which has a sweep."""
    store = open_store(str(tmp_path / "store"))
    for fingerprint in ("kept", "old"):
        features = FeatureStore(store, dataset="esc50-aa", fingerprint=fingerprint)
        commit_rows(features, [make_rows(np.zeros((2, 2, 3), dtype=np.float16))])
    row = {
        "sweep_id": "s",
        "dataset": "esc50-aa",
        "fingerprint": "kept",
        "split_hash": "0",
        "split_policy": "",
        "labels": ["dog"],
        "settings": "{}",
        "versions": "{}",
        "started_at": 0,
    }
    ResultsTable(store).commit("sweeps", sweep_id="s", commit="s", rows=[row])
    for fingerprint in ("kept", "old"):
        store.put(f"embeddings/esc50-aa/{fingerprint}/beef/part-00000-0000-00.parquet", b"of an interrupted run")
    time.sleep(0.02)  # older than min_age_days=0 asks for
    return store


def test_it_lists_first_and_deletes_when_told(disk: ObjectStore, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"storage.uri={disk.uri}", "min_age_days=0"]
    before = [info.key for info in disk.list("")]
    assert collect.main(words) == 0
    printed = capsys.readouterr().out
    assert "no result refers to it" in printed
    assert "embeddings without features" in printed
    assert "nothing was deleted" in printed
    assert "kept" not in printed.split("newest, days")[1].split("in all")[0]
    assert [info.key for info in disk.list("")] == before
    assert collect.main([*words, "delete=true"]) == 0
    assert [info.key for info in disk.list("")] == [key for key in before if "/old/" not in key]
    assert collect.main(words) == 0
    assert "nothing to collect" in capsys.readouterr().out


def test_what_is_younger_than_asked_for_stays(disk: ObjectStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect.main([f"storage.uri={disk.uri}", "delete=true"]) == 0
    assert "nothing to collect" in capsys.readouterr().out
    assert collect.main([f"storage.uri={disk.uri}", "min_age_days=-1"]) == 2
    assert "collect.min_age_days" in capsys.readouterr().err
