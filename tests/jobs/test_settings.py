"""Settings from words: defaults, presets, overrides, and errors that name the remedy."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.command_line import describe, parse_settings
from jobs.other_jobs import NOT_OF_SWEEP, NOT_OF_TRAIN
from jobs.settings import JobSettings
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
    for words in (["preset=embedded", "sweep.epochs=7"], ["sweep.epochs=7", "preset=embedded"]):
        settings = parse_settings(JobSettings, words)
        assert (settings.sweep.name, settings.sweep.epochs) == ("embedded", 7)


@pytest.mark.parametrize(
    ("key", "text", "allowed"),
    [
        ("sweep.first", "[1]", "names below it"),
        ("sweep.trial", "[{model.width: 4}]", "names below it"),
        ("sweep.seeds", "{a: 1}", "a list like"),
        ("features.uint8_range_db", "{a: 1}", "a list like"),
    ],
)
def test_a_list_where_names_belong_is_told_by_its_setting(key: str, text: str, allowed: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{key}: got .* allowed: {allowed}"):
        parse_settings(JobSettings, [f"{key}={text}"])


@pytest.mark.parametrize("words", [["--smoke", "sweep.epochs=7"], ["sweep.epochs=7", "--smoke"]])
def test_smoke_stands_for_sizes_that_every_other_word_wins_over(words: list[str]) -> None:
    settings = parse_settings(JobSettings, words, smoke=["sweep.num_trials=2", "sweep.epochs=3"])
    assert (settings.sweep.num_trials, settings.sweep.epochs) == (2, 7)


def test_smoke_changes_nothing_where_a_job_has_no_sizes() -> None:
    assert parse_settings(JobSettings, ["--smoke"]) == JobSettings()


def test_smoke_shortens_the_epochs_of_a_preset_s_trial_and_none_that_a_word_names() -> None:
    small = ["train.epochs=2"]
    plain = parse_settings(JobSettings, ["preset=s2"]).train
    short = parse_settings(JobSettings, ["preset=s2", "--smoke"], smoke=small).train
    assert (plain.trial["loop.swa_epochs"], short.trial["loop.swa_epochs"]) == (5, 1)
    others = {name: value for name, value in plain.trial.items() if name != "loop.swa_epochs"}
    assert others == {name: value for name, value in short.trial.items() if name != "loop.swa_epochs"}
    said = parse_settings(JobSettings, ["preset=s2", "--smoke", "train.trial.loop.swa_epochs=2"], smoke=small).train
    assert said.trial["loop.swa_epochs"] == 2
    longer = parse_settings(JobSettings, ["preset=s2", "--smoke", "train.epochs=12"], smoke=small).train
    assert longer.trial["loop.swa_epochs"] == 5


@pytest.mark.parametrize(
    "uri",
    ["s3://bucket/2026/01/w.safetensors", "/runs/007/w.safetensors", "/runs/12:30/w.pth", "run 01", "a,01", "x-010"],
)
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_digits_inside_of_a_path_are_no_number(uri: str, quote: str) -> None:
    words = [f"train.trial.weights={quote}{uri}{quote}", f"sweep.trial.weights={quote}{uri}{quote}"]
    settings = parse_settings(JobSettings, words)
    assert settings.train.trial == settings.sweep.trial == {"weights": uri}


def test_nothing_behind_the_sign_is_an_empty_text() -> None:
    settings = parse_settings(JobSettings, ["preset=s2", "train.trial.weights="])
    assert settings.train.trial["weights"] == ""


@pytest.mark.parametrize("text", ["007", "-010", "[1, 007]", "[a, [010]]", "{a: 010}", "12:30"])
def test_a_whole_value_that_yaml_reads_as_another_number_is_refused_and_a_quoted_one_taken(text: str) -> None:
    with pytest.raises(InvalidInput, match="would be read as another number"):
        parse_settings(JobSettings, [f"train.trial.weights={text}"])
    assert parse_settings(JobSettings, [f"train.trial.weights='{text}'"]).train.trial == {"weights": text}


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


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("split.test_folds=[1]", r"^split\.test_folds: .*Say folds\.test_folds=\[1\] here, or run jobs/sweep\.py"),
        ("sweep.epochs=3", r"^sweep\.epochs: .*Say train\.epochs=3 here, or run jobs/sweep\.py"),
        ("sweep.trial.batch_size=8", r"Say train\.trial\.batch_size=8 here"),
        ("sweep.num_trials=3", r"^sweep\.num_trials: .*See train\.\* in --help.*or run jobs/sweep\.py"),
    ],
)
def test_words_that_the_training_job_would_not_look_at_are_refused(word: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        parse_settings(JobSettings, [word], not_used=NOT_OF_TRAIN)
    parse_settings(JobSettings, [word], not_used=NOT_OF_SWEEP)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("train.epochs=3", r"^train\.epochs: .*Say sweep\.epochs=3 here, or run jobs/train\.py"),
        ("train.trial.model.width=8", r"Say sweep\.trial\.model\.width=8 here"),
        ("folds.num_folds=3", r"See split\.\* in --help.*or run jobs/train\.py"),
    ],
)
def test_words_that_the_search_would_not_look_at_are_refused(word: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        parse_settings(JobSettings, [word], not_used=NOT_OF_SWEEP)
    parse_settings(JobSettings, [word], not_used=NOT_OF_TRAIN)


def test_a_preset_may_hold_sections_for_several_jobs() -> None:
    for not_used in (NOT_OF_SWEEP, NOT_OF_TRAIN):
        settings = parse_settings(JobSettings, ["preset=s1"], not_used=not_used)
        assert (settings.sweep.name, settings.train.name) == ("s1", "s1")


@given(st.integers(1, 10**6), st.floats(0.01, 100, allow_nan=False))
def test_numbers_survive_the_way_through_words(count: int, share: float) -> None:
    settings = parse_settings(JobSettings, [f"sweep.num_trials={count}", f"sweep.cpus_per_trial={share!r}"])
    assert settings.sweep.num_trials == count
    assert settings.sweep.cpus_per_trial == share


def test_what_a_trial_reserves_is_a_number_or_auto() -> None:
    settings = parse_settings(JobSettings, ["sweep.cpus_per_trial=auto", "sweep.gpus_per_trial=auto"])
    assert (settings.sweep.cpus_per_trial, settings.sweep.gpus_per_trial) == ("auto", "auto")
    settings = parse_settings(JobSettings, ["sweep.cpus_per_trial=2", "sweep.gpus_per_trial=null"])
    assert (settings.sweep.cpus_per_trial, settings.sweep.gpus_per_trial) == (2.0, None)
    with pytest.raises(InvalidInput, match=r"sweep\.gpus_per_trial: got 'half'; allowed: a number or auto or null"):
        parse_settings(JobSettings, ["sweep.gpus_per_trial=half"])


def test_help_lists_every_key() -> None:
    text = describe(JobSettings)
    assert "sweep.seeds=[42,123,999]" in text
    assert "storage.endpoint_url=null" in text


def test_a_mapping_where_a_list_belongs_is_refused_in_one_line() -> None:
    with pytest.raises(InvalidInput, match=r"^sweep\.points: got .*; allowed: a list like"):
        parse_settings(JobSettings, ["sweep.points={model.dropout: 0.1}"])
