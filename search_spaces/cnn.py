"""The small convolutional network, trained from scratch."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.space import SearchSpace

SPACE = SearchSpace(
    architecture="cnn",
    default={
        "optimizer.learning_rate": 2e-3,
        "optimizer.weight_decay": 1e-2,
        "batch_size": 16,
        "augment.mix_alpha": 0.2,
        "loss.label_smoothing": 0.0,
        "augment.time_mask_frames": 10,
        "augment.frequency_mask_bands": 6,
        "augment.roll": True,
        "model.width": 32,
        "model.dropout": 0.3,
    },
    distributions={
        "optimizer.learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "optimizer.weight_decay": FloatDistribution(1e-4, 1e-1, log=True),
        "batch_size": CategoricalDistribution([16, 32]),
        "augment.mix_alpha": FloatDistribution(0.0, 0.4),
        "loss.label_smoothing": FloatDistribution(0.0, 0.1),
        "model.dropout": FloatDistribution(0.0, 0.4),
    },
)
