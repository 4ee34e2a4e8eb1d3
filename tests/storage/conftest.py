"""Fixtures of stores."""

import pytest
from store_toys import MemoryStore


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()
