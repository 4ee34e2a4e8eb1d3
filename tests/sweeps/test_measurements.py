"""What was measured is found again by its configuration and the kind of node, as it was recorded first."""

from dataclasses import replace
from pathlib import Path

from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps.measurements import Measurements
from sweeps.placement import Measurement, Pace, Share

MEASURED = Measurement(
    architecture="timm/resnet18",
    configuration_id="c" * 16,
    device="cuda",
    hardware="16 CPUs, 1 GPU H200",
    total_bytes=141 * 10**9,
    peak_bytes=2 * 10**9,
    paces=(
        Pace(cpus_each=16.0, at_once=1, steps_per_second=12.5),
        Pace(cpus_each=8.0, at_once=2, steps_per_second=24.0),
    ),
)


def test_another_process_finds_what_was_measured(tmp_path: Path) -> None:
    def of(sweep_id: str) -> Measurements:
        return Measurements(ResultsTable(LocalObjectStore(tmp_path)), sweep_id)

    on_other = replace(MEASURED, hardware="4 CPUs, 1 GPU L4", peak_bytes=10**9)
    half = Share(num_cpus=1.0, num_gpus=0.5)
    of("a").record(MEASURED, half)
    of("a").record(on_other, half)
    of("a").record(
        replace(MEASURED, peak_bytes=1), half
    )  # by a process that started at the same time: the first one counts
    assert of("a").recorded() == {
        (MEASURED.configuration_id, MEASURED.hardware): MEASURED,
        (MEASURED.configuration_id, on_other.hardware): on_other,
    }
    assert of("b").recorded() == {}
    rows = ResultsTable(LocalObjectStore(tmp_path)).read("measurements", sweep_id="a").to_pylist()
    assert [(row["cpus_per_trial"], row["gpus_per_trial"]) for row in rows] == [(1.0, 0.5)] * 2
