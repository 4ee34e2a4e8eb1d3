"""AlexNet; its two hidden layers are narrowed, as 4,096 units hold 50 million weights for a few hundred clips."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.space import SearchSpace

SPACE = SearchSpace(
    architecture="alexnet",
    default={
        "optimizer.learning_rate": 1e-3,
        "optimizer.weight_decay": 1e-2,
        "batch_size": 16,
        "schedule.warmup_epochs": 1,
        "augment.mix_alpha": 0.0,
        "augment.roll": True,
        "model.hidden_features": 512,
        "model.dropout": 0.2,
    },
    distributions={
        "optimizer.learning_rate": FloatDistribution(2e-4, 3e-3, log=True),
        "optimizer.weight_decay": FloatDistribution(1e-4, 1e-1, log=True),
        "augment.mix_alpha": FloatDistribution(0.0, 0.4),
        "model.hidden_features": CategoricalDistribution([256, 512, 1024]),
        "model.dropout": FloatDistribution(0.0, 0.5),
    },
)
