"""jobs/status.py over a sweep whose rows are written by hand; it needs no Ray and nothing of the search."""

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from ledger_toys import record_curve, record_trial
from sweep_toys import SWEEP_ROW, make_plan

from jobs import status
from jobs.pace import duration
from storage.errors import StorageError
from storage.object_store import open_store
from storage.results_table import ResultsTable
from sweeps.ledger import Ledger
from sweeps.studies import Studies

PLAN = make_plan(num_trials=5)
SETTINGS = json.dumps({"sweep": {"num_trials": 5, "architectures": ["cnn"], "seeds": [1, 2], "epochs": 3}})
ROW = {**SWEEP_ROW, "settings": SETTINGS}
_ROOT = Path(__file__).parents[2]
_STEERING = "\x1b[2J\r\x9b1m\u202e\x07"


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A sweep of five trials, of which three have ended, with a failure and a confirmation under way."""
    uri = str(tmp_path / "store")
    results = ResultsTable(open_store(uri))
    ledger, studies = Ledger(results, PLAN.sweep_id), Studies(PLAN)
    ledger.start(ROW)
    ours = [suggestion for number in range(4) if (suggestion := studies.suggest(number))]
    record_trial(ledger, ours[0], "finished", {1: 0.3, 2: 0.4, 3: 0.5, 4: 0.5, 5: 0.55, 6: 0.6})
    record_trial(ledger, ours[1], "stopped", {1: 0.2})
    record_trial(ledger, ours[2], "stopped", {1: 0.3, 2: 0.1})
    record_trial(ledger, ours[3], None, {1: 0.3, 2: 0.4})
    ledger.failure(
        ours[3].config.trial_id, reason=f"gave{_STEERING}up", detail=f"Traceback\nRuntimeError{_STEERING}: no"
    )
    confirmation = Ledger(results, f"{PLAN.sweep_id}-confirmation-1")
    confirmation.start({**SWEEP_ROW, "kind": "confirmation", "of_sweep": PLAN.sweep_id})
    record_trial(confirmation, ours[0], "finished", {1: 0.3})
    record_trial(confirmation, ours[1], None, {1: 0.3})
    return uri


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert status.main(words) == 0
    return capsys.readouterr().out


def age(uri: str, seconds: float) -> None:
    """Makes all rows look as if they had been written earlier."""
    moment = time.time() - seconds
    for place in Path(uri).rglob("*.parquet"):
        os.utime(place, (moment, moment))


def test_all_sweeps_of_a_store_are_listed(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    age(uri, 3 * 3600 + 5 * 60)
    printed = told([f"storage.uri={uri}"], capsys)
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d"
    assert re.search(rf"{PLAN.sweep_id}\s+sweep\s+{moment}\s+unfinished\s+3 of 5\s+3 h 05 min ago", printed)
    assert re.search(rf"{PLAN.sweep_id}-confirmation-1\s+confirmation\s+{moment}\s+unfinished\s+1 of 2", printed)


@pytest.mark.parametrize("place", ["no/such/folder", "a file"])
def test_what_is_no_store_is_not_taken_for_an_empty_one(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_text("x")
    assert status.main([f"storage.uri={tmp_path / place}"]) == 2
    assert "allowed: a folder that is there" in capsys.readouterr().err


def test_a_program_is_told_while_it_listens_and_may_stop_listening(uri: str) -> None:
    words = [sys.executable, str(_ROOT / "jobs" / "status.py"), f"storage.uri={uri}", "--watch", "--json", "every_s=1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(json.loads(process.stdout.readline())["sweeps"]) == 2
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_what_is_printed_is_one_line(uri: str) -> None:
    words = [sys.executable, str(_ROOT / "jobs" / "status.py"), f"storage.uri={uri}", "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: [Errno 28] No space left on device")
    assert "Traceback" not in done.stderr


def test_a_store_without_sweeps_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no sweep" in told([f"storage.uri={tmp_path}"], capsys)
    assert json.loads(told([f"storage.uri={tmp_path}", "--json"], capsys)) == {"sweeps": []}


def test_a_sweep_is_told_by_trials_pace_end_failures_and_what_follows(
    uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = told([f"storage.uri={uri}", f"sweep={PLAN.sweep_id}", "window_minutes=30"], capsys)
    for line in (
        r"cnn +1 +2 +0 +1 +0 +11 +0\.600 \(cnn #0, finished, 2 of 2 seeds\)",
        r"begun .* UTC on toy-0; 5 trials planned, 4 suggested, 3 have ended",
        r"seed-epochs: 11 done, at most 10 to come; \S+ a minute over the last \d+ s",
        # Of two trials to come one has two epochs, and those that have ended had three each.
        r"estimated end at this pace: \d\d:\d\d UTC \(in \d+ s\) if trials train on as those that have ended, "
        r"\d\d:\d\d UTC \(in \d+ s\) if none is stopped",
        r"failures: gave.*up 1; all of them:",
        r"  \d{4}-\d\d-\d\d \d\d:\d\d UTC cnn #3 gave.*up: RuntimeError.*: no \(open now\)",
        r"the newest row is \d+ s old: somebody was at work on it then",
        rf"confirmation {PLAN.sweep_id}-confirmation-1: 1 of 2 trials have ended, 2 of 4 seeds are complete",
    ):
        assert re.search(line, printed), line


def test_a_sweep_of_which_nothing_was_heard_lately_is_told_as_that(
    uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    age(uri, 7200)
    printed = told([f"storage.uri={uri}", f"sweep={PLAN.sweep_id}"], capsys)
    assert "the newest row is 2 h 00 min old: an epoch may take so long, or nobody is at work on it" in printed
    assert "estimated end: unknown, as no epoch ended within that time" in printed


def test_programs_are_told_the_same(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    told_json = told([f"storage.uri={uri}", f"sweep={PLAN.sweep_id}", "--json"], capsys)
    assert told_json.count("\n") == 1
    found = json.loads(told_json)
    assert found["architectures"]["cnn"]["trials"] == {
        "finished": 1,
        "stopped": 2,
        "failed": 0,
        "open": 1,
        "waiting": 0,
    }
    assert (found["num_ended"], found["num_suggested"], found["planned"]["num_trials"]) == (3, 4, 5)
    assert (found["seed_epochs"], found["outlook"]["most_to_come"], found["outlook"]["likely_to_come"]) == (11, 10, 4)
    assert found["architectures"]["cnn"]["best"]["objective"] == 0.6
    assert [failure["detail"] for failure in found["failures"]] == [f"Traceback\nRuntimeError{_STEERING}: no"]
    assert [one["kind"] for one in found["follow_ups"]] == ["confirmation"]
    listed = json.loads(told([f"storage.uri={uri}", "--json"], capsys))["sweeps"]
    assert [(one["sweep_id"], one["num_ended"], one["num_planned"]) for one in listed] == [
        (PLAN.sweep_id, 3, 5),
        (f"{PLAN.sweep_id}-confirmation-1", 1, 2),
    ]


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_nothing_from_the_table_steers_a_terminal(
    more: list[str], uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = told([f"storage.uri={uri}", f"sweep={PLAN.sweep_id}", *more], capsys)
    assert not any(one in printed for one in _STEERING if not one.isprintable())
    assert "\\u001b" in printed if more else "gave\\u001b[2J\\u000d\\u009b1m\\u202e\\u0007up" in printed


def test_watching_shows_what_is_new_and_goes_on_while_the_store_is_away(
    uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(ResultsTable(open_store(uri)), PLAN.sweep_id)
    slept: list[float] = []
    find_commits = status.SweepReader.__init__.__globals__["find_commits"]

    def away(*_: object) -> None:
        raise StorageError("the store\x1b does not answer")

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            record_curve(ledger, ledger.records()[3].suggestion.config, {3: 0.45})
            monkeypatch.setattr("storage.sweep_state.find_commits", away)
        elif len(slept) == 2:
            monkeypatch.setattr("storage.sweep_state.find_commits", find_commits)
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr("jobs.status.time.sleep", sleep)
    assert status.main([f"storage.uri={uri}", f"sweep={PLAN.sweep_id}", "--watch", "every_s=2"]) == 0
    printed = capsys.readouterr()
    assert re.findall(r"seed-epochs: (\d+) done", printed.out) == ["11", "12"]
    assert printed.err == "error, asking again: the store\\u001b does not answer\n"
    assert slept == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["sweep=toy"], f"Did you mean '{PLAN.sweep_id}'"),
        (["window_minutes=0"], "status.window_minutes: got 0.0; allowed: above 0"),
        (["every_s=0.1"], "status.every_s: got 0.1; allowed: 1 to 86400"),
        (["every_s=1e300"], "status.every_s: got 1e+300; allowed: 1 to 86400"),
        (["--wach"], "command line: got '--wach'"),
    ],
)
def test_what_cannot_be_shown_is_told(
    words: list[str], error: str, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status.main([f"storage.uri={uri}", *words]) == 2
    assert error in capsys.readouterr().err


_WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from jobs import status
assert status.main(["storage.uri={uri}"]) == 0
assert status.main(["storage.uri={uri}", "sweep={sweep}"]) == 0
assert status.main(["storage.uri={uri}", "sweep={sweep}", "--json"]) == 0
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def test_it_needs_few_packages_and_no_ray(uri: str) -> None:
    """What its docstring names is enough: it runs where nothing else of ours is installed."""
    needed = {"pyarrow", "boto3", "omegaconf", "rich"}
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[^A-Za-z0-9_-]", one)[0].replace("-", "_") for one in project}
    missing = sorted({*names, "sklearn", "PIL", "nvidia"} - needed - {"numpy"})  # pyarrow brings numpy along
    assert {"ray", "torch", "optuna", "pandas", "plotly"} <= set(missing)
    code = _WITHOUT.format(missing=missing, uri=uri, sweep=PLAN.sweep_id)
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    imported = set(run.stdout.splitlines()[-1].split())
    assert {"pyarrow", "omegaconf", "rich"} <= imported
    assert not imported & {"sweeps", "pipelines", "training", "models", "reports", "cluster"}


def test_durations_read_as_people_say_them() -> None:
    said = [duration(seconds) for seconds in (-3, 0.4, 119, 120, 3599, 3600, 7500, 47 * 3600, 49 * 3600)]
    assert said == ["0 s", "0 s", "119 s", "2 min", "59 min", "1 h 00 min", "2 h 05 min", "47 h 00 min", "2 d 1 h"]
