"""The door to the architectures: what it refuses, and what may be registered."""

import pytest

from models import Classifier, create_model, list_architectures, register_architecture, register_family
from models.options import OptionValue


def test_an_unknown_architecture_names_the_known_ones_and_the_nearest() -> None:
    known = r"known: .*alexnet.*cnn.*, timm/<name>; did you mean 'resnet50'\?"
    with pytest.raises(ValueError, match=rf"'resnet_50' is unknown; {known}"):
        create_model("resnet_50", num_classes=2, seed=0)


@pytest.mark.parametrize(
    ("architecture", "option", "value"),
    [
        ("cnn", "width", 0),
        ("cnn", "width", 8.0),
        ("cnn", "pooling", "mean"),
        ("cnn", "head", "conv"),
        ("cnn", "head_hidden", 0),
        ("alexnet", "hidden_features", 0),
        ("resnet50", "pooling", "own"),
        ("efficientnet_b0", "attention", "eca"),
    ],
)
def test_an_impossible_option_is_refused_by_name(architecture: str, option: str, value: OptionValue) -> None:
    with pytest.raises(ValueError, match=rf"{option}\b.*; allowed: "):
        create_model(architecture, num_classes=2, seed=0, options={option: value})


@pytest.mark.parametrize(("num_classes", "in_channels", "named"), [(0, 1, "num_classes"), (2, 2, "in_channels")])
def test_impossible_ends_of_the_network_are_refused(num_classes: int, in_channels: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        create_model("cnn", num_classes=num_classes, in_channels=in_channels, seed=0)


def test_a_name_can_be_registered_once() -> None:
    def cnn(num_classes: int, in_channels: int) -> Classifier:
        raise AssertionError("never built")

    with pytest.raises(ValueError, match="'cnn' is registered twice"):
        register_architecture(cnn)


def test_an_option_must_have_a_default() -> None:
    def unfinished(num_classes: int, in_channels: int, *, width: int) -> Classifier:
        raise AssertionError("never built")

    with pytest.raises(ValueError, match="options without a default: width"):
        register_architecture(unfinished)  # type: ignore[type-var]
    assert "unfinished" not in list_architectures()


def test_an_option_without_a_default_value_takes_the_type_that_it_is_annotated_with() -> None:
    with pytest.raises(ValueError, match=r"option 'dropout' is '0\.5' \(str\); allowed: float"):
        create_model("cnn", num_classes=2, seed=0, options={"dropout": "0.5"})
    assert create_model("cnn", num_classes=2, seed=0, options={"dropout": 0, "width": 2}).head[0].p == 0  # type: ignore[index]


def test_a_family_can_be_registered_once() -> None:
    with pytest.raises(ValueError, match="family 'timm' is registered twice"):
        register_family("timm")
