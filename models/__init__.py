"""Architectures by name: a log-mel batch goes in, class logits come out. Importing this package registers them all."""

from models.alexnet import alexnet
from models.classifier import Classifier
from models.cnn import cnn
from models.depth import depth_of_parameters
from models.efficientnet import efficientnet_b0
from models.freezing import Frozen, freeze
from models.heads import HEAD_OPTIONS
from models.hub import hub_weights, hub_weights_name
from models.registry import (
    check_architecture,
    check_shapes,
    create_model,
    list_architectures,
    register_architecture,
    register_family,
)
from models.resnet import resnet50, resnet50_cbam, resnet50_se
from models.weight_decay import undecayed_parameters
from models.weights import WeightsReport, load_weights, read_weights

__all__ = [
    "HEAD_OPTIONS",
    "Classifier",
    "Frozen",
    "WeightsReport",
    "alexnet",
    "check_architecture",
    "check_shapes",
    "cnn",
    "create_model",
    "depth_of_parameters",
    "efficientnet_b0",
    "freeze",
    "hub_weights",
    "hub_weights_name",
    "list_architectures",
    "load_weights",
    "read_weights",
    "register_architecture",
    "register_family",
    "resnet50",
    "resnet50_cbam",
    "resnet50_se",
    "undecayed_parameters",
]
