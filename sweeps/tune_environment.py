"""What Tune is told by the environment and by its own module's names: to write no files, and to pass on no keys."""

import logging
import os

from ray.tune.execution import class_cache

_WORDS = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # or Ctrl-C would look like the end of the sweep
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the results table is the log
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # likewise: no snapshot of all trials every few seconds
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints a banner even at verbosity 0
}
# Tune hands these from the driver to every trial, in its runtime environment, which Ray writes to the logs of all nodes
# and shows on the dashboard. Nodes have keys of their own: features are read with these, too.
_KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}


def set_tune_up() -> None:
    """Holds for this process from now on; variables that are set already stay."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are rows, and the report tells them
    for name, value in _WORDS.items():
        os.environ.setdefault(name, value)
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(_KEYS)
