"""A sweep whose names all try to do harm: its page runs nothing, its terminal obeys nothing, its files stay apart."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import CHROMIUM, Browser
from hostile_names import NAMES, files_below, is_plain, opened_harmlessly

from jobs import report
from reports import leaderboard, render_page
from reports.leaderboard import as_json

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep

_LABELS = [name.strip() for name in NAMES.values()]


@pytest.fixture
def invented(new_sweep: "Callable[..., InventedSweep]") -> "InventedSweep":
    """Every name that a table can hold is one of NAMES."""
    pool = _LABELS * 10
    told = json.dumps({name: [name, {name: name}] for name in _LABELS})
    texts = {name: pool.pop() for name in ("dataset", "split_policy", "fingerprint")}
    sweep = new_sweep(labels=_LABELS, settings=told, versions=told, **texts)
    for number, name in enumerate(_LABELS):
        trial = f"t{number}"
        if number % 3:
            sweep.finished_trial(trial, number=number, architecture=name)
            for clip in range(6):
                sweep.predict(trial, 1, f"{clip}", label=clip % 3, predicted=clip % 2, group=pool[clip % 2])
        else:
            sweep.suggest(trial, number=number, architecture=name, parameters={name: name})
            sweep.fail(trial, reason=name, detail=f"Traceback:\n  {name}\n{pool[-number]}")
            sweep.end(trial, "failed", number=number, architecture=name, seed_epochs=0, objective=None)
    return sweep


def test_the_terminal_and_the_files_of_a_report(
    invented: "InventedSweep", tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = files_below(tmp_path)
    words = [f"storage.uri={tmp_path / 'store'}", f"report.folder={tmp_path / 'out'}"]
    assert report.main(words) == 0
    printed = capsys.readouterr()
    assert is_plain(printed.out + printed.err)
    assert "Leaderboard of sweep-1" in printed.out
    new = files_below(tmp_path) - before
    assert {path.partition("sweep-1")[0] for path in new} == {"out/", "store/reports/"}
    assert {path.rpartition("/")[2] for path in new} >= {"sweep-1.html"}
    assert not Path("/tmp/escaped-from-a-test").exists()


def test_json_for_programs_is_plain_and_means_the_same(
    invented: "InventedSweep", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([f"storage.uri={tmp_path / 'store'}", "format=json"]) == 0
    printed = capsys.readouterr().out
    assert is_plain(printed)
    rows = json.loads(printed)["leaderboard"]
    assert {row["architecture"] for row in rows} <= set(_LABELS)
    assert json.loads(as_json(_LABELS)) == _LABELS


def test_the_page_runs_nothing_with_its_policy_and_without(invented: "InventedSweep", tmp_path: Path) -> None:
    sweep = invented.load()
    page = render_page(sweep, leaderboard(sweep))
    own = page.partition('<script type="application/json">')[0].replace("\t", "")
    assert is_plain(own)
    assert "base-uri 'none'; form-action 'none'" in html.unescape(page)
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    for seen, title in opened_harmlessly(page, tmp_path):
        assert seen.num_drawn > 3
        assert title == "sweep-1: sweep report"


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
def test_the_policy_stops_what_escaping_would_have_let_through(invented: "InventedSweep", tmp_path: Path) -> None:
    sweep = invented.load()
    page = render_page(sweep, leaderboard(sweep))
    harm = (
        "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
        "<base href='http://127.0.0.1:9/'><form action='http://127.0.0.1:9/'><button id=send></button></form>"
        "<link rel=stylesheet href='http://127.0.0.1:9/x.css'><iframe src='http://127.0.0.1:9/'></iframe>"
    )
    path = tmp_path / "page.html"
    path.write_text(page.replace("<main>", f"<main>{harm}", 1), encoding="utf-8")
    with Browser(tmp_path / "profile") as browser:
        seen = browser.open(path, width=1200)
        browser.run("document.getElementById('send').click()")
        assert browser.run("document.title") == "sweep-1: sweep report"
        assert browser.run("document.baseURI").startswith("file://")
        assert any("Content Security Policy" in error for error in seen.errors)
