"""The door to the architectures: what it refuses, and what may be registered."""

import pytest

from models import (
    Classifier,
    check_shapes,
    create_model,
    list_architectures,
    register_architecture,
    register_family,
)
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


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("cnn", {"width": 4, "head": "mlp", "head_hidden": 8}),
        ("alexnet", {"hidden_features": 16}),
        ("timm/resnet18", {}),
    ],
)
def test_shapes_are_held_to_the_model_before_it_takes_memory(
    architecture: str, options: dict[str, OptionValue]
) -> None:
    tensors = create_model(architecture, num_classes=3, seed=0, options=options).state_dict()
    check_shapes(architecture, tensors, num_classes=3, options=options)
    with pytest.raises(ValueError, match=r"head\..* has the shape \(3,.*\) in the file and \(4,.*\) in the model"):
        check_shapes(architecture, tensors, num_classes=4, options=options)
    name = next(iter(tensors))
    with pytest.raises(ValueError, match=rf"{name} has the shape None in the file"):
        check_shapes(
            architecture, {key: tensors[key] for key in tensors if key != name}, num_classes=3, options=options
        )
    with pytest.raises(ValueError, match=r"extra has the shape .* and None in the model"):
        check_shapes(architecture, {**tensors, "extra": tensors[name]}, num_classes=3, options=options)


@pytest.mark.parametrize("width", [10**5, 10**9, 10**18])
def test_layers_of_any_size_may_be_asked_for_and_are_not_made(width: int) -> None:
    with pytest.raises(ValueError, match=r"in the model|cannot be built"):
        check_shapes("cnn", {}, num_classes=3, options={"width": width})
