"""The page: one file, nothing fetched, every name escaped, every number the table's."""

import json
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reports import leaderboard, render_page
from reports.markup import element, plot_text, script_json
from reports.plots import plotly_javascript

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = (
    "<script>document.title='owned'</script>",
    "a\"b'&",
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<b>bold</b><a href='https://example.com'>link</a>",
    "<!--<script>",
    "%{x}&lt;",
)
NUM_FIGURES = 12  # of the hostile page, of which one of two architectures was searched and both have predictions
# All that a page with harmless names is made of.
OWN_TAGS = set(
    "html head meta title style body header main section footer div p h1 h2 h3 span strong b dl dt dd table thead "
    "tbody tr th td ul li figure figcaption details summary pre code script".split()
)


class PageReader(HTMLParser):
    """What a browser's parser would make of a page: elements, attributes, text and the figures' JSON."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._in_script = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.text += data

    @property
    def figures(self) -> list[dict[str, Any]]:
        return [json.loads(script) for script in self.scripts if script.startswith("{")]

    def figure_of(self, axis_title: str, *, kind: str = "scatter") -> dict[str, Any]:
        return next(
            figure
            for figure in self.figures
            if figure["layout"]["xaxis"]["title"]["text"] == axis_title and figure["data"][0]["type"] == kind
        )


def page_of(invented: "InventedSweep") -> str:
    sweep = invented.load()
    return render_page(sweep, leaderboard(sweep))


@pytest.fixture
def hostile_page(new_sweep: "Callable[..., InventedSweep]") -> str:
    """A page in which every name that comes from data tries to be markup."""
    bad = HOSTILE[0]
    settings = json.dumps({bad: [HOSTILE[2], HOSTILE[3]]})
    invented = new_sweep(
        labels=HOSTILE,
        dataset=bad,
        split_policy=HOSTILE[3],
        settings=settings,
        versions=settings,
        fingerprint=HOSTILE[4],
    )
    invented.finished_trial("t0", number=0, architecture=HOSTILE[2])
    invented.suggest("t1", number=1, architecture=HOSTILE[3], parameters={HOSTILE[4]: HOSTILE[3]})
    invented.fail("t1", reason=HOSTILE[2], detail=HOSTILE[3])
    invented.end("t1", "failed", number=1, architecture=HOSTILE[3], seed_epochs=0, objective=None)
    kind = json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": [HOSTILE[0], HOSTILE[3]]}})
    invented.suggest(
        "t2",
        number=2,
        architecture=HOSTILE[3],
        seeds=(1,),
        parameters={HOSTILE[4]: HOSTILE[3]},
        distributions={HOSTILE[4]: kind},
    )
    invented.train("t2", 1, (0.3, 0.5), architecture=HOSTILE[3])
    invented.complete_seed("t2", 1, architecture=HOSTILE[3])
    invented.end("t2", "finished", number=2, architecture=HOSTILE[3], seed_epochs=2)
    for trial_id in ("t0", "t2"):
        for clip in range(4):
            invented.predict(trial_id, 1, f"{clip}", label=clip % 2, predicted=clip % 2 * (trial_id == "t0"))
    return page_of(invented)


def test_no_element_or_attribute_comes_from_data(hostile_page: str) -> None:
    read = PageReader(hostile_page)
    assert {tag for tag, _ in read.elements} <= OWN_TAGS
    attributes = {name for _, names in read.elements for name in names}
    assert attributes <= {
        *("charset", "class", "content", "http-equiv", "lang", "name", "scope"),
        *("style", "type", "tabindex", "role", "aria-label"),
    }
    plain_scripts = [names for tag, names in read.elements if tag == "script" and not names]
    assert len(plain_scripts) == 2  # plotly.js, once, and the script that draws


def test_every_name_can_still_be_read(hostile_page: str) -> None:
    text = PageReader(hostile_page).text
    assert all(name in text for name in HOSTILE)


def test_names_inside_figures_are_text_to_plotly(hostile_page: str) -> None:
    figures = PageReader(hostile_page).figures
    assert len(figures) == NUM_FIGURES
    for figure in figures:
        assert not any(re.search(r"<(?!br>|extra></extra>|/extra>)", text) for text in _texts(figure))


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def test_nothing_is_fetched(hostile_page: str) -> None:
    read = PageReader(hostile_page)
    assert not any(name in ("src", "href", "srcset", "action") for _, names in read.elements for name in names)
    own = hostile_page.replace(plotly_javascript(), "", 1)
    assert "@import" not in own
    assert "url(" not in own
    policy = next(names["content"] for _, names in read.elements if names.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_plotly_is_inlined_once(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    assert page_of(invented).count(plotly_javascript()) == 1


def test_every_learning_curve_is_the_tables(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    epochs = invented.load().epochs
    read = PageReader(page_of(invented))
    accuracy, loss = [figure for figure in read.figures if figure["layout"]["xaxis"]["title"]["text"] == "epoch"]
    for seed, trace in zip((1, 2, 3), accuracy["data"], strict=True):
        rows = epochs[epochs["seed"] == seed]
        assert (trace["x"], trace["y"]) == (rows["epoch"].tolist(), rows["validation_accuracy"].tolist())
    columns = [("validation_loss", seed) for seed in (1, 2, 3)] + [("train_loss", seed) for seed in (1, 2, 3)]
    for (column, seed), trace in zip(columns, loss["data"], strict=True):
        assert trace["y"] == epochs[epochs["seed"] == seed][column].tolist()
    spent = read.figure_of("seed-epochs")["data"][0]
    assert spent["x"] == [*epochs["seed_epoch"].tolist(), None]
    assert spent["y"] == [*epochs["objective"].tolist(), None]


def test_the_matrix_is_the_sum_over_seeds_and_its_colour_the_share_of_the_row(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1, 2))
    invented.complete_seed("t0", 1, test_confusion=[[3, 1, 0], [0, 4, 0], [0, 0, 0]], test_recall=[0.75, 1.0, None])
    invented.complete_seed("t0", 2, test_confusion=[[2, 0, 2], [1, 3, 0], [0, 0, 0]], test_recall=[0.5, 0.75, None])
    (matrix,) = PageReader(page_of(invented)).figure_of("predicted", kind="heatmap")["data"]
    assert [[cell[2] for cell in line] for line in matrix["customdata"]] == [[5, 1, 2], [1, 7, 0], [0, 0, 0]]
    assert matrix["text"] == [["5", "1", "2"], ["1", "7", ""], ["", "", ""]]
    assert matrix["z"] == [[5 / 8, 1 / 8, 2 / 8], [1 / 8, 7 / 8, 0], [None, None, None]]


def test_recalls_are_the_tables_with_the_weakest_class_first(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1, 2))
    invented.complete_seed("t0", 1, test_confusion=[[9, 1, 0], [0, 2, 8], [5, 0, 5]])
    invented.complete_seed("t0", 2, test_confusion=[[8, 0, 2], [0, 3, 7], [4, 0, 6]])
    page = PageReader(page_of(invented))
    by_name = {trace["name"]: trace for trace in page.figure_of("recall")["data"]}
    assert by_name["seed 1"]["customdata"] == ["rain", "clock", "dog"]
    assert by_name["seed 1"]["x"] == [0.2, 0.5, 0.9]
    assert by_name["seed 2"]["x"] == [0.3, 0.6, 0.8]
    assert by_name["mean"]["x"] == pytest.approx([0.25, 0.55, 0.85])
    precision = {trace["name"]: trace for trace in page.figure_of("precision")["data"]}
    assert precision["seed 1"]["customdata"] == by_name["seed 1"]["customdata"]
    assert precision["seed 1"]["x"] == pytest.approx([2 / 3, 5 / 13, 9 / 14])
    assert precision["seed 2"]["x"] == pytest.approx([1.0, 6 / 15, 8 / 12])


def test_the_headline_says_what_was_chosen_how_and_on_how_many_clips(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0, test_accuracy=0.75)
    text = PageReader(page_of(invented)).text
    assert "75.0 ± 0.0 %" in text
    assert "validation, never on test" in text
    assert "11 test clips" in text
    assert "over 3 seeds" in text


def test_a_sweep_without_any_trial_renders(invented: "InventedSweep") -> None:
    text = PageReader(page_of(invented)).text
    assert "no trial has been planned yet" in text
    assert "No configuration has all its seeds complete" in text


def test_a_running_sweep_says_what_is_missing(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1, 2))
    invented.train("t0", 1, (0.3, 0.4))
    invented.complete_seed("t0", 1)
    invented.suggest("t1", number=1, architecture="resnet")
    read = PageReader(page_of(invented))
    assert "This sweep has not ended: 2 of 2 trials are open" in read.text
    assert "No trial" not in read.text
    assert len(read.figures) == 1


def test_one_trial_with_one_seed_and_one_epoch_renders(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1,), parameters={})
    invented.train("t0", 1, (0.5,))
    invented.complete_seed("t0", 1, best_epoch=1, epochs_trained=1, test_auc=None, test_accuracy=0.5)
    invented.end("t0", "finished", seed_epochs=1)
    text = PageReader(page_of(invented)).text
    assert "a single seed, so its spread is unknown" in text
    assert "50.0 %" in text
    assert "nan" not in text.lower()


def test_an_architecture_without_a_complete_configuration_is_named(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    invented.suggest("t1", number=1, architecture="resnet")
    assert "no configuration has all its seeds complete: resnet" in PageReader(page_of(invented)).text


def test_markup_escapes_by_default() -> None:
    assert element("td", "<i>", title='"') == '<td title="&quot;">&lt;i&gt;</td>'
    assert element("p", element("b", "&")) == "<p><b>&amp;</b></p>"
    assert json.loads(script_json('"</script><!--&"')) == "</script><!--&"
    assert "<" not in script_json('"</script><!--"')
    assert plot_text("<b>\"'", max_characters=3) == "&lt;b…"


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
def test_a_browser_draws_every_figure_and_runs_nothing_from_data(hostile_page: str, tmp_path: Path) -> None:
    # Without the policy, so that escaping alone has to hold.
    (tmp_path / "page.html").write_text(hostile_page.replace("Content-Security-Policy", "x-none", 1), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    quiet = "--disable-component-update --disable-sync --virtual-time-budget=8000 --dump-dom"
    command = [str(CHROMIUM), *flags.split(), *quiet.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    finished = subprocess.run(
        [*command, f"file://{tmp_path / 'page.html'}"], capture_output=True, text=True, timeout=120, check=True
    )
    dom = finished.stdout.replace(plotly_javascript(), "", 1)
    assert "<title>sweep-1: sweep report</title>" in dom
    assert len(re.findall(r'class="[^"]*svg-container"', dom)) == NUM_FIGURES
    drawn = PageReader(dom).elements
    assert not {tag for tag, _ in drawn} & {"a", "img", "iframe"}
    attributes = [(name, value or "") for _, names in drawn for name, value in names.items()]
    assert not [name for name, _ in attributes if name.startswith("on")]
    # plotly draws a heat map as an image of its own making.
    assert all(value.startswith("data:image/png") for name, value in attributes if name.endswith("href"))
    assert "&lt;b&gt;bold&lt;/b&gt;" in dom
