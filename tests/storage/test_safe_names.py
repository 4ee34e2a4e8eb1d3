"""Names of files from names that come with data."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.safe_names import safe_names


@pytest.mark.parametrize("name", ["1-100032-A-0", "XC123456", "a.b_c", "_x"])
def test_a_plain_name_stays_what_it_is(name: str) -> None:
    assert safe_names([name]) == {name: name}


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", ".", "", ".hidden", "a/b", "a\\b", "a\0b", "con", "NUL.txt", "é"]
)
def test_no_name_leaves_its_folder(name: str, tmp_path: Path) -> None:
    safe = safe_names([name])[name]
    assert safe not in ("", ".", "..")
    assert os.path.dirname(safe) == ""
    assert (tmp_path / safe).resolve().parent == tmp_path.resolve()
    (tmp_path / safe).touch()
    assert os.listdir(tmp_path) == [safe]


def test_names_that_are_cleaned_alike_stay_apart() -> None:
    names = ["a/b", "a_b", "a b", "a?b", "A_B", "a_b.", "x" * 300, "x" * 301]
    safe = safe_names(names)
    assert len({name.casefold() for name in safe.values()}) == len(names)
    assert max(map(len, safe.values())) <= 100


def test_no_name_can_be_made_to_meet_the_cleaned_one_of_another() -> None:
    cleaned = safe_names(["a/b"])["a/b"]
    safe = safe_names(["a/b", cleaned])
    assert safe["a/b"] == cleaned != safe[cleaned]


@given(st.sets(st.text(st.characters(), max_size=8), max_size=20))
def test_every_set_of_names_has_as_many_files(names: set[str]) -> None:
    safe = safe_names(names)
    assert safe.keys() == names
    assert len({name.casefold() for name in safe.values()}) == len(names)
