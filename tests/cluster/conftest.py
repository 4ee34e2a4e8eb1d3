"""What the tests of this folder share: the AWS stack, created once by moto, and one cluster of several machines."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from aws_stack import Stack, create_stack

from benchmarks.node_network import Network, NoNamespaces
from benchmarks.ray_nodes import RayNodes


@pytest.fixture(scope="session")
def stack(s3_server: str) -> Stack:
    return create_stack()


@pytest.fixture(scope="session")
def ray_nodes() -> Iterator[RayNodes]:
    """A head, a worker with one CPU and one with two, where network namespaces can be made."""
    with ExitStack() as ending:
        try:
            network = ending.enter_context(Network())
        except NoNamespaces as e:
            pytest.skip(f"no network namespaces: {e}")
        yield ending.enter_context(RayNodes(network, cpus=[1, 2]))
