"""Names that come with data stay names: in keys, in files, on the terminal and on pages, whatever they hold."""

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from browser import CHROMIUM
from feature_toys import commit_rows, make_rows
from hostile_names import NAMES, files_below, is_plain, opened_harmlessly

from jobs import check, experiments, export_study, inspect_data, predict, report
from jobs.console import print_table, progress, run_job, say
from pipelines.manifest import Clip, Manifest
from storage.checkpoints import Checkpoint, Checkpoints
from storage.errors import InvalidInput, StorageError
from storage.feature_export import encode_npy, export_array, export_rows
from storage.feature_store import FeatureStore
from storage.findings import save_findings
from storage.model_file import model_key, read_model
from storage.object_store import ObjectStore, open_store
from storage.plain_text import plain_text
from storage.predictions import Predictions
from storage.results_table import ResultsTable
from storage.schemas import TABLES

ESCAPED = Path("/tmp/escaped-from-a-test")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a shell would touch, it would touch here."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def _manifest(name: str) -> Manifest:
    return Manifest(name=name, root="/x", clips=(Clip(clip_id="a", recording_id="a", uri="a", labels=("b",)),))


def _commit(store: ObjectStore, **names: str) -> object:
    row = {field.name: None for field in TABLES["trials"]}
    return ResultsTable(store).commit("trials", **{"sweep_id": "s", "commit": "c", **names}, rows=[row])


# Everything that makes a key of a name.
_WRITERS: dict[str, Callable[[ObjectStore, str], object]] = {
    "a data set": lambda store, name: store.put(f"features/{_manifest(name).dataset}/x", b"x"),
    "a sweep": lambda store, name: _commit(store, sweep_id=name),
    "a commit": lambda store, name: _commit(store, commit=name),
    "a model": lambda store, name: store.put(model_key(name, name, 1), b"x"),
    "a checkpoint": lambda store, name: Checkpoints(store, f"checkpoints/{name}").save(
        "seed=1", Checkpoint(step=1, tensors={}, state={})
    ),
    "findings": lambda store, name: save_findings(store, [], dataset=name, fingerprint="f", summary={}),
    "a report": lambda store, name: store.put(f"reports/{name}.html", b"x"),
    "features": lambda store, name: commit_rows(
        FeatureStore(store, dataset=name, fingerprint=name), [make_rows(np.zeros((1, 2, 2), dtype=np.float16))]
    ),
    "a key": lambda store, name: store.put_if_absent(name, b"x"),
    "predictions": lambda store, name: Predictions(store).write_part(name, b"x"),
}


@pytest.mark.parametrize("what", _WRITERS)
def test_no_name_leaves_the_store(store: ObjectStore, what: str, tmp_path: Path) -> None:
    for name in NAMES.values():
        with contextlib.suppress(InvalidInput, StorageError, ValueError):  # refused is fine
            _WRITERS[what](store, name)
    whole = open_store(store.uri.rpartition("/")[0])
    keys = {info.key for info in whole.list("")}
    assert keys == {key for key in keys if key.startswith(f"{store.uri.rpartition('/')[2]}/")}
    assert files_below(tmp_path) == {path for path in files_below(tmp_path) if path.startswith("store/")}
    assert not ESCAPED.exists()


def test_every_clip_has_files_of_its_own_in_an_export(tmp_path: Path) -> None:
    features = FeatureStore(open_store(str(tmp_path / "store")), dataset="d", fingerprint="f")
    rows = make_rows(np.arange(4 * len(NAMES), dtype=np.float16).reshape(-1, 2, 2))
    at = rows.schema.get_field_index("clip_id")
    commit_rows(features, [rows.set_column(at, rows.schema.field("clip_id"), pa.array(sorted(NAMES.values())))])
    before = files_below(tmp_path)
    export_rows(features, open_store(str(tmp_path / "out")), encode=encode_npy, suffix=".npy", about={})
    export_array(features, tmp_path / "array")
    index = pq.read_table(tmp_path / "out" / "index.parquet")
    assert index.column("clip_id").to_pylist() == sorted(NAMES.values())
    paths = {f"out/{path}" for path in index.column("path").to_pylist()}
    assert len(paths) == len(NAMES)
    others = {"out/_EXPORT.json", "out/index.parquet"}
    others |= {f"array/{name}" for name in ("_EXPORT.json", "index.parquet", "features.npy")}
    assert files_below(tmp_path) - before == paths | others
    assert not ESCAPED.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_shows_a_name_and_obeys_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = NAMES[name]

    def job(words: Sequence[str]) -> int:
        say(f"data set {given}: 1 clip")
        print_table(f"Scores of {given}", ("label", given), [(given, "1")])
        with progress(given) as tell:
            tell(1, 1, given)
        raise {"invalid": InvalidInput(given, given=given, allowed=given, remedy=given)}.get(
            words[0], StorageError(given) if words[0] == "storage" else ConnectionError(given)
        )

    for kind in ("invalid", "storage", "connection"):
        assert run_job(job, [kind], usage="") == 2
        printed = capsys.readouterr()
        assert is_plain(printed.out + printed.err)
        assert printed.err.count("\n") == 1
        assert sum(line.startswith("error: a forged") for line in printed.out.splitlines()) == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "words",
    [
        (report.main, "sweep_id={}"),
        (report.main, "sweep=[a,'{}']"),
        (export_study.main, "sweep={}", "into=study.db"),
        (predict.main, "model=models/{}", "files=x"),
        (predict.main, "model={}", "files=x"),
        (experiments.main, "{}"),
        (report.main, "{}=1"),
        (report.main, "storage.uri={}"),
    ],
)
def test_an_argument_is_refused_in_one_plain_line(
    words: tuple[Any, ...], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, *arguments = words
    given = [word.format(NAMES[name]) for word in arguments]
    if not given[0].startswith("storage.uri"):
        given.append(f"storage.uri={tmp_path / 'store'}")
    assert job(given) == 2
    printed = capsys.readouterr()
    assert is_plain(printed.out + printed.err)
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert files_below(tmp_path) == set()


def test_a_model_is_looked_for_below_models_of_the_store_or_where_the_path_says(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    store = open_store(str(tmp_path / "store"))
    with pytest.raises(StorageError, match="points outside the store"):
        read_model("models/../../secret", store=store)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of clips that can be read, under every name; and as many that cannot."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000)
    soundfile.write(tmp_path / "a.wav", samples, 8_000)
    names = sorted(name.strip() for name in NAMES.values())
    columns = {
        "clip_id": [*names, *(f"{name}!" for name in names)],
        "uri": ["a.wav"] * len(names) + names,
        "label": names * 2,
        "group": names * 2,
        "speaker": names * 2,
    }
    pq.write_table(pa.table(columns), tmp_path / "clips.parquet")
    return tmp_path / "clips.parquet"


def test_a_check_of_a_table_tells_what_is_missing_and_obeys_nothing(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.main(["data.source=csv", f"data.root={table}"]) == 1
    printed = capsys.readouterr()
    assert "files that clips.parquet names and that are missing" in printed.out
    assert is_plain(printed.out + printed.err)


@pytest.mark.timeout(180)
def test_a_page_of_clips_runs_nothing_and_is_the_only_file(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_below(tmp_path)
    words = [
        "data.source=csv",
        f"data.root={table}",
        "clips_per_label=1",
        "max_clips=40",
        f"report.folder={tmp_path}/out",
    ]
    assert inspect_data.main(words) == 0
    printed = capsys.readouterr()
    assert is_plain(printed.out + printed.err)
    (page,) = files_below(tmp_path) - before
    assert page.startswith("out/")
    text = (tmp_path / page).read_text(encoding="utf-8")
    assert is_plain(text.replace("\t", ""))
    if CHROMIUM.exists():
        assert all("owned" not in title for _, title in opened_harmlessly(text, tmp_path))


def test_what_is_shown_can_still_be_read() -> None:
    assert plain_text("Żółć 犬 שלום 👩‍🔬 a b") == "Żółć 犬 שלום 👩‍🔬 a b"
    assert plain_text(NAMES["an escape sequence"]) == r"\u001b]0;owned\u0007\u001b[2J\u001b[31mred\u009b1A"
    assert plain_text("a\nb\x1b", keep="\n") == "a\nb\\u001b"
    assert json.loads(plain_text(json.dumps("a\u202eb\x9b\\", ensure_ascii=False))) == "a\u202eb\x9b\\"


def test_a_clip_id_that_no_worker_could_hold_is_refused() -> None:
    clip = Clip(clip_id="犬" * 20_000, recording_id="a", uri="a", labels=("b",))
    with pytest.raises(InvalidInput, match=r"clip_id: got '犬{80}… \(20,000 characters\)'"):
        Manifest(name="d", root="/x", clips=(clip,))


def test_hostile_names_are_hostile() -> None:
    buffer = io.StringIO()
    print(*NAMES.values(), file=buffer)
    assert not is_plain(buffer.getvalue())
