"""ResNet-50, plain and with attention, trained from scratch: one space, so that they are compared on equal terms."""

from optuna.distributions import FloatDistribution

from search_spaces.space import SearchSpace

SPACES = tuple(
    SearchSpace(
        architecture=architecture,
        default={
            "optimizer.learning_rate": 5e-4,
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
            "optimizer.learning_rate": FloatDistribution(1e-4, 3e-3, log=True),
            "optimizer.weight_decay": FloatDistribution(1e-4, 1e-1, log=True),
            "augment.mix_alpha": FloatDistribution(0.0, 0.4),
            "model.dropout": FloatDistribution(0.0, 0.5),
        },
    )
    for architecture in ("resnet50", "resnet50_se", "resnet50_cbam")
)
