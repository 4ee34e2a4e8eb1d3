"""The pages in a headless browser, at the width of a phone and of a laptop: nothing sticks out, fails or is fetched."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from sample_sweep import SampleSweep

from reports import leaderboard, load_sweep, render_comparison, render_page

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
SECTIONS = (
    "Leaderboard",
    "Leaderboard with 95 % intervals",
    "Is one better than another?",
    "Learning curves",
    "What was stopped where",
    "Classes × seeds",
    "Hyperparameters",
    "Time spent and saved",
    "All trials",
    "Failures",
    "What was run",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A confirmed sweep with long names, an adaptive one, and both compared."""
    folder = tmp_path_factory.mktemp("pages")
    first = SampleSweep(root=folder / "store", sweep_id="a-rather-long-name-0123456789ab", num_trials=8, num_clips=30)
    second = SampleSweep(
        root=folder / "store",
        sweep_id="adaptive",
        architectures=("cnn", "alexnet"),
        num_trials=8,
        num_clips=30,
        scheduler="adaptive",
    )
    for sample in (first, second):
        sample.write()
    first.confirm(seeds=(1, 2))
    sweeps = {
        name: load_sweep(first.results, sample.sweep_id) for name, sample in (("rungs", first), ("adaptive", second))
    }
    written = {name: render_page(sweep, leaderboard(sweep)) for name, sweep in sweeps.items()}
    written["comparison"] = render_comparison(list(sweeps.values()))
    for name, text in written.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in written}


@pytest.mark.parametrize(("name", "width"), [("rungs", 390), ("rungs", 1280), ("adaptive", 390), ("comparison", 390)])
def test_a_page_fits_draws_everything_and_asks_nobody(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    seen = browser.open(pages[name], width=width)
    assert (seen.requests, seen.errors, seen.too_wide) == ([], [], [])
    assert seen.width <= width
    assert seen.num_drawn == browser.run("document.querySelectorAll('script[type=\"application/json\"]').length") > 0
    titles = browser.run("[...document.querySelectorAll('h2')].map(one => one.textContent)")
    assert len(set(titles)) == len(titles)
    if name != "comparison":
        assert set(SECTIONS) <= set(titles)


def test_every_figure_says_what_it_is_to_who_cannot_see_it(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["rungs"], width=1280)
    names = browser.run("[...document.querySelectorAll('[role=img]')].map(one => one.getAttribute('aria-label'))")
    captions = browser.run("[...document.querySelectorAll('figcaption')].map(one => one.textContent)")
    assert all(names)
    assert len(captions) == len(names)


def test_the_browser_notices_what_a_page_does_wrong(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<main><p style='width: 700px'>wide</p><img src='http://127.0.0.1:9/x.png'></main><script>nothing()</script>"
    )
    seen = browser.open(page, width=390)
    assert seen.width >= 700
    assert seen.requests == ["http://127.0.0.1:9/x.png"]
    assert seen.too_wide
    assert any("nothing is not defined" in error for error in seen.errors)
