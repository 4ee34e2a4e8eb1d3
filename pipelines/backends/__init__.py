"""Log-mel backends behind one Protocol."""

from pipelines.backends.registry import (
    LogMelBackend,
    PcmBackend,
    backends_for,
    check_expressible,
    create_backend,
    list_backends,
)

__all__ = ["LogMelBackend", "PcmBackend", "backends_for", "check_expressible", "create_backend", "list_backends"]
