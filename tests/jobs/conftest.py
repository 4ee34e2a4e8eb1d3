"""Models for the jobs that use one; trained once, in a second."""

import pytest
from trained_toys import Trained, train_models


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A corpus, two models of it, and what their trials said."""
    return train_models(tmp_path_factory.mktemp("trained"))
