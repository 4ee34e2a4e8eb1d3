"""What Ray tells the driver of a job that was submitted to a cluster, in a variable of its environment."""

import json
import os
from typing import Any

_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def submitted_job() -> dict[str, Any] | None:
    """The job's `runtime_env` and `metadata`, as Ray has them; None in a process that is no submitted job's driver."""
    told = os.environ.get(_VARIABLE)
    return None if told is None else json.loads(told or "{}")
