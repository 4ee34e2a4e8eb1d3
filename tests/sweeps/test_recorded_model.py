"""What is heard and kept of a seed that was trained twice is what the results table has of it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sweep_toys import make_data, make_plan

from storage.model_file import from_bytes, model_key
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from sweeps.trial_actor import TrialContext, train_recorded


@pytest.fixture
def _own_threads() -> Iterator[None]:
    """A trial sets how many threads torch has."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_own_threads")
def test_a_seed_that_is_trained_again_does_not_replace_the_model_whose_predictions_are_recorded(
    tmp_path: Path,
) -> None:
    """As a second process would that knew nothing of the first, on a GPU, where it would be another model."""
    plan, store = make_plan(seeds=(1,), epochs=1), open_store(str(tmp_path))
    config = plan.trial_config("cnn", {})
    context = TrialContext(sweep_id="s", store=store, data=make_data(), feature_spec={"num_mels": 16})
    key = model_key("s", config.trial_id, 1)

    def train() -> bytes:
        train_recorded(config, context, lambda news: None)
        return store.get(key)

    first = train()
    assert from_bytes(first, name="first")[1].seed == 1
    store.put(key, b"of the first process")
    assert train() == b"of the first process"
    store.delete(key)
    assert train() == first
    store.put(key, b"of a process that died before it recorded anything")
    for info in list(store.list("results/predictions/")):
        store.delete(info.key)
    assert train() == first


@pytest.mark.usefixtures("_own_threads")
def test_of_a_seed_that_is_trained_again_to_other_numbers_the_recorded_ones_are_heard_and_scored(
    tmp_path: Path,
) -> None:
    """As on a GPU, by a process that knew nothing of the first, which died before the row in `seeds`."""
    plan, store = make_plan(seeds=(1,), epochs=1), open_store(str(tmp_path))
    config = plan.trial_config("cnn", {})
    context = TrialContext(sweep_id="s", store=store, data=make_data())
    results, heard = ResultsTable(store), list[float]()

    def train() -> dict[str, Any]:
        train_recorded(config, context, lambda news: heard.append(news.objective))
        (row,) = results.read("seeds", sweep_id="s").to_pylist()
        return row

    first = train()
    for prefix in ("results/seeds/", "checkpoints/"):
        for info in list(store.list(prefix)):
            store.delete(info.key)
    _alter(store, "predictions", lambda row: {**row, "probabilities": row["probabilities"][::-1]})
    _alter(store, "epochs", lambda row: {**row, "objective": 0.25})
    again = train()
    assert heard == [first["validation_score"], 0.25]
    assert again["test_confusion"] == [row[::-1] for row in first["test_confusion"]]
    assert again["test_confusion"] != first["test_confusion"]
    assert again["test_accuracy"] == 1 - first["test_accuracy"]  # of two labels
    assert json.loads(again["scores"])["test"]["kl"] != json.loads(first["scores"])["test"]["kl"]


def _alter(store: ObjectStore, table: str, alter: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Puts other rows in the place of those that are there."""
    results = ResultsTable(store)
    (name,), rows = results.commits(table, sweep_id="s"), results.read(table, sweep_id="s").to_pylist()
    for info in list(store.list(f"results/{table}/")):
        store.delete(info.key)
    results.commit(table, sweep_id="s", commit=name, rows=[alter(row) for row in rows])
