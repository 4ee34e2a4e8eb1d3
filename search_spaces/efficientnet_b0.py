"""EfficientNet-B0 trained from scratch: a smaller and slower-learning network than ResNet-50, per parameter."""

from optuna.distributions import FloatDistribution

from search_spaces.space import SearchSpace

SPACE = SearchSpace(
    architecture="efficientnet_b0",
    default={
        "optimizer.learning_rate": 1e-3,
        "optimizer.weight_decay": 1e-2,
        "batch_size": 32,
        "schedule.warmup_epochs": 1,
        "augment.mix_alpha": 0.2,
        "augment.time_mask_frames": 16,
        "augment.frequency_mask_bands": 8,
        "augment.roll": True,
        "model.dropout": 0.2,
    },
    distributions={
        "optimizer.learning_rate": FloatDistribution(2e-4, 5e-3, log=True),
        "optimizer.weight_decay": FloatDistribution(1e-4, 1e-1, log=True),
        "augment.mix_alpha": FloatDistribution(0.0, 0.4),
        "model.dropout": FloatDistribution(0.0, 0.5),
    },
)
