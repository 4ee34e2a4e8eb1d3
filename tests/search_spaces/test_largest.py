"""The configuration that is measured before a sweep: the one of its space that takes the most memory."""

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces import SearchSpace, get_space
from search_spaces.largest import largest_values


def test_the_largest_batch_and_the_widest_model_are_taken_and_nothing_else_is_touched() -> None:
    space = SearchSpace(
        architecture="toy",
        default={
            "batch_size": 16,
            "model.width": 8,
            "model.dropout": 0.1,
            "model.head": "linear",
            "model.gated": True,
            "input.height": 64,
            "augment.time_masks": 1,
            "optimizer.learning_rate": 1e-3,
        },
        distributions={
            "batch_size": CategoricalDistribution([64, 16, 32]),
            "model.width": IntDistribution(8, 48, step=8),
            "model.dropout": FloatDistribution(0.0, 0.5),
            "model.head": CategoricalDistribution(["linear", "mlp"]),
            "model.gated": CategoricalDistribution([True, False]),
            "input.height": CategoricalDistribution([64, 128]),
            "augment.time_masks": IntDistribution(0, 4),
            "optimizer.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        },
    )
    assert largest_values(space) == {"batch_size": 64, "model.width": 48, "input.height": 128}


def test_what_a_sweep_fixes_is_not_the_largest_but_what_it_says() -> None:
    space = get_space("cnn")
    assert largest_values(space) == {"batch_size": 32}
    assert largest_values(space.with_values(first={}, fixed={"batch_size": 16})) == {}
