"""What was measured of a sweep's architectures, in the results table: a resumed sweep does not measure again."""

from collections.abc import Mapping
from typing import Any

from storage.clock import utc_now
from storage.identity import content_hash
from storage.results_table import ResultsTable
from sweeps.placement import Measurement, Pace, Share

_TABLE = "measurements"


class Measurements:
    """Those of one sweep. Recording is idempotent: of two of the same thing the first one stays."""

    def __init__(self, results: ResultsTable, sweep_id: str) -> None:
        self._results, self._sweep_id = results, sweep_id

    def record(self, measured: Measurement, share: Share) -> None:
        """Args: share: that every trial of the architecture is given by it. Raises: StorageError: the store failed."""
        row = {
            "sweep_id": self._sweep_id,
            "architecture": measured.architecture,
            "configuration_id": measured.configuration_id,
            "device": measured.device,
            "hardware": measured.hardware,
            "total_bytes": measured.total_bytes,
            "peak_bytes": measured.peak_bytes,
            "cpus_each": [pace.cpus_each for pace in measured.paces],
            "at_once": [pace.at_once for pace in measured.paces],
            "steps_per_second": [pace.steps_per_second for pace in measured.paces],
            "cpus_per_trial": share.num_cpus,
            "gpus_per_trial": share.num_gpus,
            "measured_at": utc_now(),
        }
        commit = content_hash([measured.configuration_id, measured.hardware])
        self._results.commit(_TABLE, sweep_id=self._sweep_id, commit=commit, rows=[row])

    def recorded(self) -> dict[tuple[str, str], Measurement]:
        """By configuration id and hardware."""
        rows = self._results.read(_TABLE, sweep_id=self._sweep_id).to_pylist()
        return {(row["configuration_id"], row["hardware"]): _of_row(row) for row in rows}


def _of_row(row: Mapping[str, Any]) -> Measurement:
    paces = zip(row["cpus_each"], row["at_once"], row["steps_per_second"], strict=True)
    return Measurement(
        architecture=row["architecture"],
        configuration_id=row["configuration_id"],
        device=row["device"],
        hardware=row["hardware"],
        total_bytes=row["total_bytes"],
        peak_bytes=row["peak_bytes"],
        paces=tuple(
            Pace(cpus_each=cpus, at_once=at_once, steps_per_second=steps_per_second)
            for cpus, at_once, steps_per_second in paces
        ),
    )
