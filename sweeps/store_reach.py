"""Ends a search whose store is out of reach of its driver, and blames no trial for it."""

from typing import Any

from ray import tune

from storage.errors import StoreOutOfReach
from storage.vigil import Vigil
from sweeps.fault import Fault


class StoreReach(tune.Callback):
    """Raises out of Tune's own loop, which then ends what runs: a trial may not report for as long as an epoch takes.

    Args:
        fault: keeps the error, so that nothing more is recorded.
    """

    def __init__(self, fault: Fault, vigil: Vigil) -> None:
        self._fault, self._vigil = fault, vigil

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles it when it starts, and the vigil is a thread."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Raises `StoreOutOfReach`; other faults of the driver wait until trials report, which then store their last
        epoch."""
        with self._fault.kept():
            self._vigil.check()
        if isinstance(self._fault.error, StoreOutOfReach):
            raise self._fault.error
