"""The time that writers record, always UTC. Nothing is ordered by it: clocks of machines differ."""

import datetime
import time


def utc_now() -> datetime.datetime:
    """By `time.time`, so that a machine whose clock is wrong can be tried by that one function."""
    return datetime.datetime.fromtimestamp(time.time(), datetime.UTC)
