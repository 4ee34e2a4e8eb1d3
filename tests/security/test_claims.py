"""Files that claim gigabytes, or become gigabytes: each is one clear error, and costs no memory.

All are read in one process that may not have the memory: an allocation beyond its limit fails, and would be seen as
another error than the one that a job tells.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")

_PROJECT = Path(__file__).parents[2]
_HEADROOM_BYTES = 1536 << 20  # the smallest claim is 2 GiB
_MOST_MIB = 200  # what is packed in a file has 256 MiB and more


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    """What came of each file: see toys/bounded.py."""
    paths = [str(_PROJECT), str(_PROJECT / "tests" / "toys")]
    finished = subprocess.run(
        [sys.executable, str(_PROJECT / "tests" / "toys" / "bounded.py"), str(_HEADROOM_BYTES)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    result: dict[str, dict[str, Any]] = json.loads(finished.stdout.splitlines()[-1])
    return result


def test_each_ends_as_an_error_that_a_job_tells(found: dict[str, dict[str, Any]]) -> None:
    assert len(found) > 60
    assert {name: end["error"] for name, end in found.items() if end["error"].startswith("unexpected")} == {}


def test_none_of_them_takes_memory(found: dict[str, dict[str, Any]]) -> None:
    assert {name: end["mib"] for name, end in found.items() if end["mib"] > _MOST_MIB} == {}


def test_the_files_are_small(found: dict[str, dict[str, Any]]) -> None:
    assert {name: end["bytes"] for name, end in found.items() if end["bytes"] > 2 << 20} == {}
