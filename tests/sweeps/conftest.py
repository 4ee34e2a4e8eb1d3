"""Sweeps of toys that several test modules compare with."""

from pathlib import Path

import pytest
from turn_toys import Toy, adaptive_plan

from storage.local import LocalObjectStore


@pytest.fixture
def undisturbed(tmp_path: Path) -> Toy:
    """An adaptive sweep, one trial at a time, that nothing interrupted."""
    toy = Toy(adaptive_plan(), LocalObjectStore(tmp_path / "undisturbed"))
    toy.run()
    return toy
