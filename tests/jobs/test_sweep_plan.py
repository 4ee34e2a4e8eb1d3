"""--plan tells what a sweep would take; it needs no Ray, leaves nothing behind, and the run that follows agrees."""

import re
from pathlib import Path
from typing import Any

import pytest

from jobs import sweep
from jobs.plan_rows import Hours, cost_rows
from jobs.settings import ClusterSettings
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.errors import InvalidInput
from storage.feature_store import FeatureStore
from storage.object_store import open_store
from storage.results import results

SETTINGS = (
    *("sweep.architectures=[cnn]", "sweep.num_trials=4", "sweep.epochs=2", "sweep.grace_epochs=1"),
    *("sweep.seeds=[1,2]", "sweep.scheduler=fifo", "sweep.trial.model.width=4", "sweep.confirm.best=0"),
    *("cluster.num_cpus=2", "log.kinds=[]"),
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_dataset(tmp_path_factory.mktemp("plan") / "tiny", num_clips_per_class=5)


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert sweep.main(words) == 0
    return capsys.readouterr().out


def value_of(printed: str, name: str) -> str:
    found = re.search(rf"^ *{re.escape(name)} {{2,}}(.+?) *$", printed, re.MULTILINE)
    assert found, f"{name!r} is not in\n{printed}"
    return found[1]


def test_a_plan_is_printed_and_the_store_stays_as_it_is(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "ray_session", None)
    monkeypatch.setattr(sweep, "open_checked_store", None)
    before = sorted(tmp_path.rglob("*"))
    words = ["--plan", f"data.root={recordings}", f"storage.uri={tmp_path}/store", "cluster.price_per_cpu_hour=36"]
    printed = told([*words, *SETTINGS], capsys)
    assert sorted(tmp_path.rglob("*")) == before
    assert "nothing was written" in printed
    assert value_of(printed, "clips") == value_of(printed, "to compute")
    assert value_of(printed, "trials") == "4"
    assert value_of(printed, "seed-epochs") == str(4 * 2 * 2)
    assert value_of(printed, "trials at once").startswith("2, each 1 CPUs and 0 GPUs, on cpu")
    assert re.fullmatch(r"\S+ s \(measured here.*", value_of(printed, "an epoch of cnn, about"))
    hours, clips = value_of(printed, "hours of audio, about").split()[0], int(value_of(printed, "clips"))
    assert float(hours) == pytest.approx(clips * 5 / 3600, rel=0.01)  # the windows are five seconds
    cpu_hours, cost = (float(value_of(printed, f"{what}, about")) for what in ("CPU-hours", "cost at your prices"))
    assert cost == pytest.approx(36 * cpu_hours, abs=0.2)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_the_run_that_follows_agrees_with_its_plan(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"{tmp_path}/store"
    words = [f"data.root={recordings}", f"storage.uri={uri}", f"report.folder={tmp_path}/reports", *SETTINGS]
    printed = told(["--plan", *words], capsys)
    log = told(words, capsys)
    assert re.search(r"^[-\d]+ [:\d]+Z sweep, trials 4/4.* \| 4 finished \| 16 seed-epochs, best", log, re.MULTILINE)
    (row,) = results(uri, table="sweeps").to_pylist()
    features = FeatureStore(open_store(uri), dataset=row["dataset"], fingerprint=row["fingerprint"])
    marker = features.marker()
    assert marker is not None
    assert int(value_of(printed, "clips")) == marker["num_clips"]
    assert int(value_of(printed, "trials")) == results(uri, table="trials").num_rows
    assert int(value_of(printed, "seed-epochs")) == results(uri, table="epochs").num_rows
    stored = sum(info.size_bytes for info in features.store.list(features.prefix + "part-"))
    assert in_bytes(value_of(printed, "still to be stored, about")) == pytest.approx(stored, rel=0.25)
    models = sum(info.size_bytes for info in features.store.list("models/"))
    assert in_bytes(value_of(printed, "models to be stored, at most")) == pytest.approx(models, rel=0.25)
    again = told(["--plan", *words], capsys)
    assert value_of(again, "to compute") == "0"
    assert value_of(again, "trained already") == f"{results(uri, table='epochs').num_rows}, 4 trials have ended"
    assert value_of(again, "CPU-hours, about") == "0"
    assert row["sweep_id"] in again
    assert "median of" in value_of(again, "an epoch of cnn, about")


@pytest.mark.parametrize(
    ("settings", "hours", "told_last"),
    [
        ({}, Hours(cpu=2.0, gpu=0.0), ("GPU-hours, about", "0")),
        ({"price_per_cpu_hour": 0.5}, Hours(cpu=2.0, gpu=0.0), ("cost at your prices, about", "1.00")),
        (
            {"price_per_cpu_hour": 0.5},
            Hours(cpu=2.0, gpu=3.0),
            ("cost at your prices, about", "1.00, without GPUs without a price"),
        ),
        (
            {"price_per_cpu_hour": 0.5, "price_per_gpu_hour": 2.0},
            Hours(cpu=2.0, gpu=3.0),
            ("cost at your prices, about", "7.00"),
        ),
        ({"price_per_gpu_hour": 2.0}, Hours(cpu=0.0, gpu=None), ("cost at your prices, about", "unknown")),
        (
            {"price_per_cpu_hour": 0.5, "price_per_gpu_hour": 2.0},
            Hours(cpu=2.0, gpu=None),
            ("cost at your prices, about", "1.00, without unknown GPU-hours"),
        ),
    ],
)
def test_a_cost_is_told_at_prices_that_were_said(
    settings: dict[str, Any], hours: Hours, told_last: tuple[str, str]
) -> None:
    assert cost_rows(hours, ClusterSettings(**settings))[-1] == told_last


def test_a_price_below_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="price_per_gpu_hour: got -1; allowed: null, or 0 and more"):
        ClusterSettings(price_per_gpu_hour=-1)


def in_bytes(told: str) -> float:
    number, unit = told.split()
    return float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
