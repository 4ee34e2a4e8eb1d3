"""The check of a plan ran every architecture on a log-mel of full size: a window of years took all memory."""

import pytest
from sweep_toys import make_plan

from storage.errors import InvalidInput


def test_the_check_of_a_plan_takes_no_memory_for_its_log_mels() -> None:
    plan = make_plan(architectures=("cnn", "alexnet", "resnet50"), trial={})
    plan.check(feature_shape=(100_000, 1_000_000_000))  # 400 TB of float32


def test_log_mels_too_small_for_an_architecture_are_still_refused() -> None:
    with pytest.raises(InvalidInput, match="alexnet"):
        make_plan(architectures=("alexnet",), trial={}).check(feature_shape=(64, 54))
