"""Every registered architecture under one set of promises, then what is particular to single ones."""

from collections.abc import Iterator, Mapping

import pytest
import torch
from safetensors.torch import load, save
from timm.layers import SEModule
from timm.layers.cbam import CbamModule
from torch import nn
from torch.nn import functional

from models import create_model, list_architectures, register_architecture

NUM_CLASSES = 7
# The 54.5 million parameters of AlexNet's hidden layers would take most of this file's time.
SMALL_OPTIONS: Mapping[str, Mapping[str, int]] = {"alexnet": {"hidden_features": 32}, "cnn": {"width": 4}}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread fixes the order of summation, so that losses can be compared bit for bit."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def build(architecture: str, *, seed: int = 0, in_channels: int = 1) -> nn.Module:
    return create_model(
        architecture,
        num_classes=NUM_CLASSES,
        in_channels=in_channels,
        seed=seed,
        options=SMALL_OPTIONS.get(architecture),
    )


def log_mel_batch(*, in_channels: int = 1, mels: int = 64, frames: int = 64, num_clips: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num_clips, in_channels, mels, frames, generator=generator)


def train_two_steps(model: nn.Module) -> float:
    """Take two AdamW steps with a fixed dropout stream; return the second loss and leave its gradients."""
    x, y = log_mel_batch(num_clips=4), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss = torch.tensor(float("nan"))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(2)
        for _ in range(2):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
    return loss.item()


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("architecture", list_architectures())
class TestEveryArchitecture:
    @pytest.mark.parametrize("in_channels", [1, 3])
    def test_logits_are_finite_at_every_promised_size(self, architecture: str, in_channels: int) -> None:
        model = build(architecture, in_channels=in_channels).eval()
        for mels, frames in [(64, 108), (128, 216), (224, 224)]:
            with torch.no_grad():
                logits = model(log_mel_batch(in_channels=in_channels, mels=mels, frames=frames))
            assert logits.shape == (2, NUM_CLASSES)
            assert logits.dtype == torch.float32
            assert torch.isfinite(logits).all()

    def test_half_the_frames_are_served_or_refused_with_the_numbers(self, architecture: str) -> None:
        model, x = build(architecture).eval(), log_mel_batch(mels=64, frames=54)
        if architecture == "alexnet":
            with pytest.raises(ValueError, match="64 mels x 54 frames; allowed: 63 x 63 or more"):
                model(x)
        else:
            assert model(x).shape == (2, NUM_CLASSES)

    def test_every_parameter_learns_and_the_same_seed_gives_the_same_loss(self, architecture: str) -> None:
        model = build(architecture)
        loss = train_two_steps(model)
        # The second step's gradients: zero-initialised residual branches pass nothing inwards in the first.
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.any(), name
        assert train_two_steps(build(architecture)) == loss

    def test_another_seed_gives_other_weights(self, architecture: str) -> None:
        first, second = build(architecture, seed=0), build(architecture, seed=1)
        for (name, a), (_, b) in zip(first.named_parameters(), second.named_parameters(), strict=True):
            if a.ndim > 1:
                assert not torch.equal(a, b), name

    def test_the_global_random_state_neither_enters_nor_changes(self, architecture: str) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            before = torch.random.get_rng_state()
            first = build(architecture).state_dict()
            assert torch.equal(torch.random.get_rng_state(), before)
            torch.default_generator.manual_seed(4)
            second = build(architecture).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_saved_and_loaded_gives_the_same_output(self, architecture: str) -> None:
        model, x = build(architecture, seed=0), log_mel_batch()
        loaded = build(architecture, seed=1)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.train()(x)  # moves BatchNorm's running statistics away from those of a new model
            loaded.load_state_dict(load(save(model.state_dict())))
            assert torch.equal(loaded.eval()(x), model.eval()(x))

    def test_an_unknown_option_names_the_allowed_ones_and_the_nearest(self, architecture: str) -> None:
        with pytest.raises(ValueError, match=r"no option 'droput'; allowed: .*dropout.*; did you mean 'dropout'\?"):
            create_model(architecture, num_classes=2, seed=0, options={"droput": 0.1})

    @pytest.mark.parametrize("dropout", [-0.1, 1.5, "0.5", True])
    def test_an_impossible_dropout_is_refused(self, architecture: str, dropout: float | str) -> None:
        with pytest.raises(ValueError, match="dropout"):
            create_model(architecture, num_classes=2, seed=0, options={"dropout": dropout})

    def test_dropout_acts_in_training_only(self, architecture: str) -> None:
        options = {**SMALL_OPTIONS.get(architecture, {}), "dropout": 0.9}
        model, x = create_model(architecture, num_classes=NUM_CLASSES, seed=0, options=options), log_mel_batch()
        # Frozen statistics leave dropout as the one thing that training mode changes.
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.train()
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
            assert not torch.equal(model(x), model(x))
            model.eval()
            assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("architecture", "num_published"),
    [
        ("alexnet", 61_100_840),  # torchvision, AlexNet_Weights.IMAGENET1K_V1
        ("resnet50", 25_557_032),  # torchvision, ResNet50_Weights.IMAGENET1K_V1
        ("resnet50_se", 28_088_024),  # timm, seresnet50; 28.1 million in arXiv:1709.01507
    ],
)
def test_the_defaults_have_the_published_number_of_parameters(architecture: str, num_published: int) -> None:
    assert num_parameters(create_model(architecture, num_classes=1000, in_channels=3, seed=0)) == num_published


def test_cbam_has_the_size_its_paper_gives() -> None:
    # arXiv:1807.06521, table 4: ResNet50 + CBAM, 28.09 million.
    model = create_model("resnet50_cbam", num_classes=1000, in_channels=3, seed=0)
    assert num_parameters(model) == pytest.approx(28.09e6, rel=1e-3)


@pytest.mark.parametrize(("architecture", "attention"), [("resnet50_se", SEModule), ("resnet50_cbam", CbamModule)])
def test_each_bottleneck_of_a_variant_has_its_attention(architecture: str, attention: type[nn.Module]) -> None:
    plain, variant = build("resnet50"), build(architecture)
    assert sum(isinstance(module, attention) for module in variant.modules()) == 16
    assert not any(isinstance(module, SEModule | CbamModule) for module in plain.modules())
    assert num_parameters(variant) > num_parameters(plain)


def test_an_unknown_architecture_names_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'resnet_50' is unknown; known: .*alexnet.*cnn.*; did you mean 'resnet50'\?"):
        create_model("resnet_50", num_classes=2, seed=0)


@pytest.mark.parametrize(
    ("architecture", "options"), [("cnn", {"width": 0}), ("cnn", {"width": 8.0}), ("alexnet", {"hidden_features": 0})]
)
def test_an_impossible_option_is_refused_by_name(architecture: str, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        create_model(architecture, num_classes=2, seed=0, options=options)


@pytest.mark.parametrize(("num_classes", "in_channels", "named"), [(0, 1, "num_classes"), (2, 2, "in_channels")])
def test_impossible_ends_of_the_network_are_refused(num_classes: int, in_channels: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        create_model("cnn", num_classes=num_classes, in_channels=in_channels, seed=0)


@pytest.mark.parametrize(("architecture", "side"), [("cnn", 15), ("alexnet", 63)])
def test_the_smallest_input_is_served_and_a_smaller_one_refused(architecture: str, side: int) -> None:
    model = build(architecture).eval()
    assert model(log_mel_batch(mels=side, frames=side)).shape == (2, NUM_CLASSES)
    with pytest.raises(ValueError, match=f"{side} x {side} or more"):
        model(log_mel_batch(mels=side, frames=side - 1))


def test_a_name_can_be_registered_once() -> None:
    def cnn(num_classes: int, in_channels: int) -> nn.Module:
        raise AssertionError("never built")

    with pytest.raises(ValueError, match="'cnn' is registered twice"):
        register_architecture(cnn)


def test_an_option_must_have_a_default() -> None:
    def unfinished(num_classes: int, in_channels: int, *, width: int) -> nn.Module:
        raise AssertionError("never built")

    with pytest.raises(ValueError, match="options without a default: width"):
        register_architecture(unfinished)  # type: ignore[type-var]
    assert "unfinished" not in list_architectures()
