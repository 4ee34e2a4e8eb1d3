"""The model that is kept of a seed is the one whose predictions the results table has."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sweep_toys import make_data, make_plan

from storage.model_file import from_bytes, model_key
from storage.object_store import open_store
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
