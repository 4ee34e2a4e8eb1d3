"""A path or name on the command line used to be read as YAML: `/store #2` became `/store`, the name 0123 became 83."""

import pytest

from jobs.command_line import parse_settings
from jobs.settings import JobSettings
from storage.errors import InvalidInput


@pytest.mark.parametrize(
    "text", ["/data/store #2", "0123", "007", "1_0", "12:30:00", "1e3", "${oc.env:HOME}", "[a", "a: b"]
)
def test_a_text_is_taken_as_it_stands(text: str) -> None:
    settings = parse_settings(JobSettings, [f"storage.uri={text}", f"data.root={text}", f"data.name={text}"])
    assert (settings.storage.uri, settings.data.root, settings.data.name) == (text, text, text)


@pytest.mark.parametrize("text", ["[010]", "[1, 007]", "[12:30]"])
def test_a_number_that_yaml_reads_as_another_one_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^sweep\.seeds: got .* would be read as another number"):
        parse_settings(JobSettings, [f"sweep.seeds={text}"])


def test_a_faulty_word_is_named_alone() -> None:
    with pytest.raises(InvalidInput, match=r"^sweep\.seeds: got '\[1'"):
        parse_settings(JobSettings, ["data.root=/some/where", "sweep.seeds=[1"])


def test_null_is_no_text_where_a_text_may_be_missing() -> None:
    assert parse_settings(JobSettings, ["storage.endpoint_url=null"]).storage.endpoint_url is None
