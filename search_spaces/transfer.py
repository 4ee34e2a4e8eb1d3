"""Any model of timm with its published weights: what is searched is, first of all, the head.

The backbone is frozen, so that it runs once over the data. With `sweep.trial.freeze=none` all of it trains, and the
disturbances of its inputs are searched too.
"""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.space import SearchSpace


def transfer_space(architecture: str) -> SearchSpace:
    """The space of `timm/<any name>`, which nobody looks up here."""
    return SearchSpace(
        architecture=architecture,
        default={
            "weights": "hub",
            "freeze": "backbone",
            "optimizer.learning_rate": 1e-3,
            "optimizer.weight_decay": 1e-2,
            "batch_size": 32,
            "augment.mix_alpha": 0.2,
            "augment.time_mask_frames": 16,
            "augment.frequency_mask_bands": 8,
            "model.head": "linear",
            "model.head_hidden": 512,
            "model.dropout": 0.2,
        },
        distributions={
            "optimizer.learning_rate": FloatDistribution(1e-5, 3e-2, log=True),
            "optimizer.weight_decay": FloatDistribution(1e-4, 1e-1, log=True),
            "augment.mix_alpha": FloatDistribution(0.0, 0.4),
            "model.head": CategoricalDistribution(["linear", "mlp"]),
            "model.head_hidden": CategoricalDistribution([256, 512, 1024]),
            "model.dropout": FloatDistribution(0.0, 0.6),
        },
    )
