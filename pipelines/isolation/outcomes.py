"""Errors on their way through pipes and Ray: as plain data there, as themselves again behind it."""

import traceback
from collections.abc import Mapping
from typing import Any

from storage.errors import InvalidInput, StorageError


def error_as_data(error: Exception) -> dict[str, Any]:
    """{"storage_error": text}, {"invalid_input": fields}, or {"bug": traceback} of anything else."""
    if isinstance(error, StorageError):
        return {"storage_error": str(error)}
    if isinstance(error, InvalidInput):
        fields = {"field": error.field, "given": str(error.given), "allowed": error.allowed, "remedy": error.remedy}
        return {"invalid_input": fields}
    return {"bug": "".join(traceback.format_exception(error))}


def raise_error(outcome: Mapping[str, Any]) -> None:
    """Does nothing where the outcome is no error.

    Raises:
        InvalidInput, StorageError: what the worker raised.
        RuntimeError: it raised something else.
    """
    if "storage_error" in outcome:
        raise StorageError(outcome["storage_error"])
    if "invalid_input" in outcome:
        raise InvalidInput(**outcome["invalid_input"])
    if "bug" in outcome:
        raise RuntimeError(f"a worker failed; this is a bug of melsweep:\n{outcome['bug']}")
