"""What stands above every table: the day, the machine and the versions that the figures belong to."""

import importlib.metadata
import platform
import time
from collections.abc import Sequence
from pathlib import Path


def print_machine(packages: Sequence[str], *, num_cores: int) -> None:
    """Two lines: date, cores, processor and Python; then each package with its version."""
    print(f"{time.strftime('%Y-%m-%d')} · {num_cores} cores of {_processor()} · Python {platform.python_version()}")
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages))


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if "model name" in line)
    return next(named, platform.processor())
