"""One cluster of several machines for the tests of this folder, where network namespaces can be made."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from benchmarks.node_network import Network, NoNamespaces
from benchmarks.ray_nodes import RayNodes


@pytest.fixture(scope="session")
def ray_nodes() -> Iterator[RayNodes]:
    """A head and two workers with a CPU each."""
    with ExitStack() as ending:
        try:
            network = ending.enter_context(Network())
        except NoNamespaces as e:
            pytest.skip(f"no network namespaces: {e}")
        yield ending.enter_context(RayNodes(network, cpus=[1, 1]))
