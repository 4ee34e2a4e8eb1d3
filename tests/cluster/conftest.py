"""The AWS stack, created once by moto."""

import pytest
from aws_stack import Stack, create_stack


@pytest.fixture(scope="session")
def stack(s3_server: str) -> Stack:
    return create_stack()
