"""Seeds that are trained already are taken over, and a trial that trains the rest ends as one that trained them all."""

import dataclasses
from pathlib import Path

import pytest
from follow_up_toys import make_plan, rows, search, suggestions, train
from sweep_toys import SWEEP_ROW

from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from sweeps.adoption import NOTHING, Adopted, adopt, earlier_runs
from sweeps.ledger import Ledger
from training import TrialConfig

_PLAN = make_plan()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    """Read by all tests, written by none."""
    store = open_store(str(tmp_path_factory.mktemp("searched")))
    search(_PLAN, store)
    return store


@pytest.fixture
def own(searched: ObjectStore, tmp_path: Path) -> ObjectStore:
    """A copy."""
    store = open_store(str(tmp_path))
    for info in searched.list(""):
        store.put(info.key, searched.get(info.key))
    return store


def _config(number: int, *seeds: int) -> TrialConfig:
    config = suggestions(_PLAN)[number].config
    return dataclasses.replace(config, seeds=seeds) if seeds else config


def _adopt(store: ObjectStore, *configs: TrialConfig, run_id: str = "run") -> dict[str, Adopted]:
    return adopt(ResultsTable(store), run_id, configs, of_runs=[_PLAN.sweep_id])


def test_rows_of_a_whole_trial_are_copied_as_they_are_and_only_once(own: ObjectStore) -> None:
    config = _config(0)
    found = _adopt(own, config)[config.trial_id]
    assert found.is_all_of(config)
    for table in ("epochs", "predictions", "seeds"):
        theirs = [row for row in rows(own, table, _PLAN.sweep_id) if row["trial_id"] == config.trial_id]
        assert rows(own, table, "run") == [{**row, "sweep_id": "run"} for row in theirs]
    (trial,) = [row for row in rows(own, "trials", _PLAN.sweep_id) if row["trial_id"] == config.trial_id]
    assert found.end(config) == (trial["seed_epochs"], trial["objective"])
    before = {info.key for info in own.list("")}
    assert _adopt(own, config)[config.trial_id] == found
    assert {info.key for info in own.list("")} == before


def test_the_rest_of_a_trial_is_trained_to_the_numbers_of_one_that_trained_all(own: ObjectStore) -> None:
    whole = _config(1, 1, 2, 3)
    undisturbed = train(whole, own, "undisturbed")
    adopted = _adopt(own, whole)[whole.trial_id]
    assert adopted.seeds == (1, 2)
    heard = train(whole, own, "run", adopted=adopted)
    assert sorted(heard) == [5, 6]
    assert heard == pytest.approx({seed_epoch: undisturbed[seed_epoch] for seed_epoch in heard})
    for table in ("epochs", "predictions", "seeds"):
        ours = [{**row, "sweep_id": "", "objective": None} for row in rows(own, table, "run")]
        theirs = [{**row, "sweep_id": "", "objective": None} for row in rows(own, table, "undisturbed")]
        assert ours == theirs


def test_of_a_stopped_trial_the_seeds_that_came_to_their_end_are_taken_over(own: ObjectStore) -> None:
    config = _config(2)
    assert _adopt(own, config)[config.trial_id].seeds == (1,)


@pytest.mark.parametrize("seeds", [(3, 1), (3,)])
def test_only_first_seeds_are_taken_over(own: ObjectStore, seeds: tuple[int, ...]) -> None:
    """Epochs are counted over all seeds of a trial, in their order."""
    assert _adopt(own, _config(0, *seeds)) == {}


def test_another_configuration_or_split_has_nothing_to_take_over(own: ObjectStore) -> None:
    config = _config(0)
    others = [dataclasses.replace(config, split_hash="6" * 16), dataclasses.replace(config, epochs=3)]
    assert _adopt(own, *others) == {}
    assert rows(own, "seeds", "run") == []


def test_a_seed_whose_predictions_are_lost_is_not_taken_over(own: ObjectStore) -> None:
    config = _config(0)
    for info in list(own.list("results/predictions/")):
        if f"{config.trial_id}-seed2" in info.key:
            own.delete(info.key)
    assert _adopt(own, config)[config.trial_id].seeds == (1,)


def test_an_interrupted_copy_is_completed(own: ObjectStore) -> None:
    config = _config(0)
    _adopt(own, config)
    expected = rows(own, "seeds", "run")
    for info in list(own.list("results/seeds/sweep=run/")):
        own.delete(info.key)
    _adopt(own, config)
    assert rows(own, "seeds", "run") == expected
    assert len(rows(own, "epochs", "run")) == 4


def test_epochs_that_a_killed_run_has_trained_itself_are_not_there_twice(own: ObjectStore) -> None:
    """A confirmation dies in a seed, another one trains it to its end, and the first is taken up again."""
    config = _config(1, 7, 8)
    train(config, own, "run", stop_at=1)
    train(config, own, "other")
    Ledger(ResultsTable(own), "other").suggest(dataclasses.replace(suggestions(_PLAN)[1], config=config))
    (trained,) = rows(own, "epochs", "run")
    found = adopt(ResultsTable(own), "run", [config], of_runs=[_PLAN.sweep_id, "other"])[config.trial_id]
    assert found.is_all_of(config)
    epochs = rows(own, "epochs", "run")
    assert [(row["seed"], row["epoch"]) for row in epochs] == [(7, 1), (7, 2), (8, 1), (8, 2)]
    assert epochs[0] == trained


def test_the_sweep_comes_first_and_then_what_followed_it_before(tmp_path: Path) -> None:
    results = ResultsTable(open_store(str(tmp_path)))
    for run_id, of_sweep in (("s", None), ("a", "s"), ("other", "t"), ("b", "s"), ("later", "s")):
        Ledger(results, run_id).start({**SWEEP_ROW, "of_sweep": of_sweep})
    assert earlier_runs(results, "s", before="b") == ["s", "a"]


def test_with_nothing_taken_over_a_trial_is_what_it_was() -> None:
    config = _config(0)
    assert NOTHING.rest_of(config) is config
    assert NOTHING.counted_in(config, seed_epoch=3, objective=0.1) == (3, 0.1)
    assert not NOTHING.is_all_of(config)
