"""Architectures by name: a log-mel batch goes in, class logits come out. Importing this package registers them all."""

from models.alexnet import alexnet
from models.cnn import cnn
from models.registry import create_model, list_architectures, register_architecture
from models.resnet import resnet50, resnet50_cbam, resnet50_se

__all__ = [
    "alexnet",
    "cnn",
    "create_model",
    "list_architectures",
    "register_architecture",
    "resnet50",
    "resnet50_cbam",
    "resnet50_se",
]
