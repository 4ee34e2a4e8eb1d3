"""Settings from words: defaults, presets, overrides, and errors that name the remedy."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.settings import JobSettings, describe, parse_settings
from storage.errors import InvalidInput


def test_without_words_the_defaults_stand() -> None:
    assert parse_settings(JobSettings, []) == JobSettings()


def test_a_word_replaces_one_value_with_its_type() -> None:
    words = ["sweep.seeds=[1,2]", "features.f_max_hz=8000", "data.name=007", "cluster.address=null", "sweep.name=1"]
    settings = parse_settings(JobSettings, words)
    assert settings.sweep.seeds == (1, 2)
    assert settings.features == replace(JobSettings().features, f_max_hz=8000.0)
    assert settings.cluster.address is None
    assert settings.sweep.name == "1"


def test_a_range_of_db_is_a_list() -> None:
    words = ["features.dtype=uint8", "features.db_reference=1.0", "features.uint8_range_db=[-100,40.5]"]
    assert parse_settings(JobSettings, words).features.uint8_range_db == (-100.0, 40.5)
    assert parse_settings(JobSettings, ["features.uint8_range_db=null"]).features.uint8_range_db is None


def test_a_preset_lies_under_the_words_wherever_it_stands() -> None:
    for words in (["preset=embedded", "sweep.epochs=2"], ["sweep.epochs=2", "preset=embedded"]):
        settings = parse_settings(JobSettings, words)
        assert (settings.sweep.name, settings.sweep.epochs) == ("embedded", 2)


@pytest.mark.parametrize("words", [["--smoke", "sweep.epochs=7"], ["sweep.epochs=7", "--smoke"]])
def test_smoke_stands_for_sizes_that_every_other_word_wins_over(words: list[str]) -> None:
    settings = parse_settings(JobSettings, words, smoke=["sweep.num_trials=2", "sweep.epochs=3"])
    assert (settings.sweep.num_trials, settings.sweep.epochs) == (2, 7)


def test_smoke_changes_nothing_where_a_job_has_no_sizes() -> None:
    assert parse_settings(JobSettings, ["--smoke"]) == JobSettings()


def test_sweep_trial_takes_fields_and_model_options() -> None:
    settings = parse_settings(JobSettings, ["sweep.trial.optimizer.learning_rate=0.001", "sweep.trial.model.width=8"])
    assert settings.sweep.trial == {"optimizer.learning_rate": 0.001, "model.width": 8}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("sweep.num_trails=3", "sweep.num_trials"),
        ("swep.num_trials=3", "sweep.num_trials"),
        ("preset=embeded", "embedded"),
        ("sweep=3", "sweep."),
        ("num_trials", "key=value"),
        ("sweep.num_trials=many", "whole number"),
        ("sweep.num_trials=2.5", "whole number"),
        ("sweep.num_trials=true", "whole number"),
        ("sweep.seeds=42", "list"),
        ("features.windows=middle", "first, all"),
        ("features.f_max_hz=99999", "sample_rate_hz"),
        ("sweep.architectures=[cnnn]", "cnn"),
        ("split.validation_folds=[5]", "split.test_folds"),
        ("sweep.num_trials=[", "a value in YAML"),
    ],
)
def test_a_wrong_word_is_told_with_what_would_be_right(word: str, told: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_settings(JobSettings, [word])
    assert told in str(error.value)


@given(st.integers(1, 10**6), st.floats(0.01, 100, allow_nan=False))
def test_numbers_survive_the_way_through_words(count: int, share: float) -> None:
    settings = parse_settings(JobSettings, [f"sweep.num_trials={count}", f"sweep.cpus_per_trial={share!r}"])
    assert settings.sweep.num_trials == count
    assert settings.sweep.cpus_per_trial == share


def test_help_lists_every_key() -> None:
    text = describe(JobSettings)
    assert "sweep.seeds=[42,123,999]" in text
    assert "storage.endpoint_url=null" in text
