"""Compacting as a person does: look, compact, and delete a day later."""

import os
import time
from pathlib import Path

import pytest

from jobs import compact, describe_tables
from storage.object_store import open_store
from storage.results import results
from storage.results_table import ResultsTable
from storage.schemas import TABLES

_HOUR_S = 3600


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A store with five failures of one sweep and one of another."""
    uri = str(tmp_path / "store")
    table = ResultsTable(open_store(uri))
    for number in range(6):
        sweep_id = "s" if number < 5 else "other"
        row = {"sweep_id": sweep_id, "trial_id": f"t{number}", "failure_id": "f", "reason": "r", "detail": ""}
        table.commit("failures", sweep_id=sweep_id, commit=f"t{number}", rows=[{**row, "failed_at": 0}])
    return uri


def keys(uri: str, prefix: str) -> list[str]:
    return [info.key for info in open_store(uri).list(prefix)]


def age(uri: str, hours: float) -> None:
    """Makes all generations look as if they had been written earlier."""
    for path in Path(uri, "compacted").rglob("*.json"):
        moment = time.time() - hours * _HOUR_S
        os.utime(path, (moment, moment))


def test_a_dry_run_tells_and_changes_nothing(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = keys(uri, "")
    assert compact.main([f"storage.uri={uri}", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "failures" in printed
    assert "nothing was written" in printed
    assert "other" not in printed  # one commit is left as it is
    assert keys(uri, "") == before


def test_what_a_killed_writer_has_left_a_day_ago_goes_as_a_job_begins(uri: str) -> None:
    left = Path(uri, ".unfinished", "0123")
    left.write_bytes(b"half")
    moment = time.time() - 25 * _HOUR_S
    os.utime(left, (moment, moment))
    assert compact.main([f"storage.uri={uri}"]) == 0
    assert not left.exists()


def test_it_compacts_first_and_deletes_what_is_old_when_told(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"storage.uri={uri}"]
    assert compact.main(words) == 0
    printed = capsys.readouterr().out
    assert "compacted 5 commits with 5 rows into 1 objects" in printed
    assert "nothing was deleted" in printed
    assert len(keys(uri, "results/")) == 6
    assert compact.main([*words, "delete=true"]) == 0
    printed = capsys.readouterr().out
    assert "nothing new to compact" in printed
    assert "deleted 0 objects" in printed
    age(uri, 25)
    assert compact.main([*words, "delete=true"]) == 0
    assert "deleted 5 objects; 1 large ones put" in capsys.readouterr().out
    assert len(keys(uri, "results/")) == 2
    assert results(uri, table="failures").num_rows == 6


def test_one_sweep_or_table_may_be_asked_for(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compact.main([f"storage.uri={uri}", "sweep_id=other", "min_commits=1"]) == 0
    assert "compacted 1 commits" in capsys.readouterr().out
    assert compact.main([f"storage.uri={uri}", "tables=[trials]"]) == 0
    assert "nothing new to compact" in capsys.readouterr().out
    assert all("sweep=other" in key for key in keys(uri, "compacted/"))


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("grace_hours=0.1", "compact.grace_hours: got 0.1; allowed: 0.17 or more"),
        ("min_commits=0", "compact.min_commits"),
        ("tables=[trails]", "Did you mean 'trials'"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    uri: str, word: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compact.main([f"storage.uri={uri}", word]) == 2
    assert named in capsys.readouterr().err


class TestDescribe:
    def test_one_table_or_all(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert describe_tables.main(["table=trials"]) == 0
        assert capsys.readouterr().out.startswith("### trials\n")
        assert describe_tables.main([]) == 0
        assert capsys.readouterr().out.count("### ") == len(TABLES)

    def test_a_page_is_written_between_its_marks(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        page = tmp_path / "page.md"
        page.write_text(f"head\n{describe_tables.BEGIN}outdated\n{describe_tables.END}tail\n")
        for _ in range(2):
            assert describe_tables.main([f"into={page}"]) == 0
        text = page.read_text()
        assert text.startswith("head\n")
        assert text.endswith("tail\n")
        assert "outdated" not in text
        assert text.count("### trials") == 1
        page.write_text("no marks")
        assert describe_tables.main([f"into={page}"]) == 2
        assert "columns: begin" in capsys.readouterr().err
