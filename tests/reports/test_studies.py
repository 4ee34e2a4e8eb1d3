"""Studies rebuilt from the rows: which parameter mattered, and what Optuna reads from an exported file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from reports import trial_summaries
from reports.parameter_axes import common_scores, parameter_axes, score_axis
from reports.parameter_sections import parameters_section
from reports.studies import export_studies, importances
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep

_KINDS = {
    "rate": json.dumps(
        {"name": "FloatDistribution", "attributes": {"step": None, "low": 0.01, "high": 1, "log": True}}
    ),
    "width": json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64]}}),
}


def search(invented: "InventedSweep", num_trials: int) -> None:
    """Trials whose score follows `rate` alone; every third one trains to its end, the others stop after two epochs."""
    for number in range(num_trials):
        rate, width = 0.01 * 100 ** (number / (num_trials - 1)), (16, 32, 64)[number * 7 % 3]
        parameters = {"rate": rate, "width": width}
        trial_id = invented.suggest(f"t{number:02d}", number=number, parameters=parameters, distributions=_KINDS)
        best = 0.3 + 0.5 * number / num_trials
        curve = (best - 0.1, best, best + 0.3) if number % 3 == 0 else (best - 0.1, best)
        invented.train(trial_id, 1, curve)
        state = "finished" if number % 3 == 0 else "stopped"
        invented.end(trial_id, state, number=number, seed_epochs=len(curve), objective=max(curve))


def test_trials_are_compared_where_all_of_them_came_to(invented: "InventedSweep") -> None:
    search(invented, 12)
    invented.suggest("failed", number=50)
    invented.train("failed", 1, (0.9,))
    invented.end("failed", "failed", number=50, seed_epochs=1)
    seed_epochs, scores = common_scores(invented.load(), "cnn")
    assert (seed_epochs, len(scores)) == (2, 12)
    assert scores["t00"] == pytest.approx(0.3)
    assert common_scores(invented.load(), "resnet") == (0, {})


def test_the_parameter_that_decides_is_the_most_important_and_beyond_chance(invented: "InventedSweep") -> None:
    search(invented, 24)
    found = importances(invented.load(), "cnn")
    assert found is not None
    assert [parameter.name for parameter in found.parameters] == ["rate", "width"]
    assert sum(parameter.share for parameter in found.parameters) == pytest.approx(1.0)
    rate, width = found.parameters
    assert rate.value > rate.by_chance
    assert width.value < width.by_chance
    assert found == importances(invented.load(), "cnn")


def test_few_trials_have_lines_but_no_importance(invented: "InventedSweep") -> None:
    search(invented, 5)
    sweep = invented.load()
    assert importances(sweep, "cnn") is None
    text = parameters_section(sweep, [], trial_summaries(sweep))
    assert "5 trials; importances are told from 8 on" in text
    assert "every trial through its values" in text


def test_where_nothing_was_searched_nothing_is_drawn(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    sweep = invented.load()
    text = parameters_section(sweep, [], trial_summaries(sweep))
    assert "Shown once trials of a searched architecture have ended" in text


def test_values_lie_on_their_axes_by_the_range_that_was_searched(invented: "InventedSweep") -> None:
    search(invented, 5)
    rate, width = parameter_axes(invented.load(), "cnn")
    assert [rate.places[f"t0{number}"] for number in range(5)] == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert rate.ticks == ((0.0, "0.01"), (1.0, "1"))
    assert set(width.places.values()) <= {0.0, 0.5, 1.0}
    assert width.ticks == ((0.0, "16"), (0.5, "32"), (1.0, "64"))
    score = score_axis("score", {"a": 0.2, "b": 0.6, "c": 0.3}, ["20 %", "60 %", "30 %"])
    assert score.places == pytest.approx({"a": 0.0, "b": 1.0, "c": 0.25})
    assert score.ticks == ((0.0, "20 %"), (1.0, "60 %"))


@pytest.mark.parametrize("name", ["study.db", "study.log"])
def test_optuna_reads_back_parameters_states_curves_and_times(
    invented: "InventedSweep", tmp_path: Path, name: str
) -> None:
    search(invented, 4)
    invented.suggest("bad", number=4, parameters={"rate": 0.5, "width": 16}, distributions=_KINDS)
    invented.fail("bad", reason="the loss was not finite")
    invented.end("bad", "failed", number=4, seed_epochs=0, objective=None)
    invented.suggest("open", number=5, parameters={"rate": 0.6, "width": 16}, distributions=_KINDS)
    invented.train("open", 1, (0.4,))
    invented.suggest("other", number=6, architecture="resnet")
    path = tmp_path / "new folder" / name
    found = export_studies(invented.load(), str(path))
    assert found == [("sweep-1: cnn", 6), ("sweep-1: resnet", 1)]
    storage = f"sqlite:///{path}" if name.endswith(".db") else JournalStorage(JournalFileBackend(str(path)))
    study = optuna.load_study(study_name="sweep-1: cnn", storage=storage)
    states = [trial.state for trial in study.trials]
    ends = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED, TrialState.COMPLETE]
    assert states == [*ends, TrialState.FAIL, TrialState.RUNNING]
    first, second, *_, failed, running = study.trials
    assert first.params == {"rate": pytest.approx(0.01), "width": 16}
    assert first.value == pytest.approx(0.6)
    assert first.intermediate_values == pytest.approx({1: 0.2, 2: 0.3, 3: 0.6})
    assert second.value == pytest.approx(max(second.intermediate_values.values()))  # Optuna tells the last one
    assert first.duration is not None
    assert first.duration.total_seconds() == pytest.approx(12.0)
    assert failed.user_attrs["fate"] == "the loss was not finite"
    assert running.intermediate_values == pytest.approx({1: 0.4})
    assert study.best_trial.number == 3
    assert [path.name for path in path.parent.iterdir()] == [name]


def test_a_sweep_of_several_objectives_is_a_study_of_several(
    new_sweep: "Callable[..., InventedSweep]", tmp_path: Path
) -> None:
    invented = new_sweep(settings=json.dumps({"sweep": {"objectives": ["score", "num_parameters"]}}))
    search(invented, 3)
    for seed in (1, 2, 3):
        invented.complete_seed("t00", seed, num_parameters=500)
    export_studies(invented.load(), str(tmp_path / "study.db"))
    study = optuna.load_study(study_name="sweep-1: cnn", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.trials[0].values == pytest.approx([0.6, 500.0])
    assert study.trials[1].state == TrialState.PRUNED
    assert study.trials[1].values is None


def test_an_exported_file_is_never_written_over(invented: "InventedSweep", tmp_path: Path) -> None:
    search(invented, 2)
    (tmp_path / "study.db").write_text("mine")
    with pytest.raises(InvalidInput, match="a new file"):
        export_studies(invented.load(), str(tmp_path / "study.db"))
    assert (tmp_path / "study.db").read_text() == "mine"


def test_a_file_of_another_kind_is_refused(invented: "InventedSweep", tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="ends in"):
        export_studies(invented.load(), str(tmp_path / "study.csv"))


def test_a_folder_that_cannot_be_written_is_told(invented: "InventedSweep", tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="into"):
        export_studies(invented.load(), str(tmp_path / "file" / "study.db"))
