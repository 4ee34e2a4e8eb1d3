"""Asks a store now and then while other processes work with it, so that the job's own log tells of one that is away.

Workers wait for a store without a word that anybody sees: Ray keeps their warnings in files. And a driver with nothing
to record, as all its workers wait, would ask for nothing. So a thread of the driver asks.
"""

import threading
from types import TracebackType

from storage.errors import StorageError, StoreOutOfReach
from storage.object_store import ObjectStore

_EVERY_S = 20.0
_PREFIX = "_probe/"  # empty as a rule; every job has written and read there at its start
_LEAVE_WITHIN_S = 1.0


class Vigil:
    """Used as a context, which may be entered once.

    Attributes:
        error: why the store is out of reach, after its own patience; nothing is asked any more then.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.error: StoreOutOfReach | None = None
        self._is_over = threading.Event()
        # A daemon: in the middle of an outage it waits for longer than the job needs to end.
        self._thread = threading.Thread(target=self._watch, name="vigil", daemon=True)

    def __enter__(self) -> "Vigil":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join(_LEAVE_WITHIN_S)

    def check(self) -> None:
        """Does nothing while the store is there, or waited for.

        Raises:
            StoreOutOfReach: it is not.
        """
        if self.error:
            raise self.error

    def _watch(self) -> None:
        while not self._is_over.wait(_EVERY_S):
            try:
                next(iter(self._store.list(_PREFIX)), None)
            except StoreOutOfReach as e:
                self.error = e
                return
            except StorageError:  # of what lies there; whoever needs it will be told
                continue
