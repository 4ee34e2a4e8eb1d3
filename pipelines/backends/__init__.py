"""Log-mel backends behind one Protocol."""

from pipelines.backends.registry import LogMelBackend, create_backend, list_backends

__all__ = ["LogMelBackend", "create_backend", "list_backends"]
