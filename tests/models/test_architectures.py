"""Every registered architecture under one set of promises, then what is particular to single ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional

from models import Classifier, create_model, list_architectures, load_weights, read_weights
from models.options import OptionValue

NUM_CLASSES = 7


@dataclass(frozen=True, kw_only=True)
class Case:
    architecture: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)


# The 54.5 million parameters of AlexNet's hidden layers would take most of this file's time.
SMALL_OPTIONS: Mapping[str, Mapping[str, OptionValue]] = {"alexnet": {"hidden_features": 32}, "cnn": {"width": 4}}
REGISTERED = {name: Case(architecture=name, options=SMALL_OPTIONS.get(name, {})) for name in list_architectures()}
OF_TIMM = {
    f"timm/{name}": Case(architecture=f"timm/{name}")
    for name in ("resnet10t", "mobilenetv3_small_050", "tf_efficientnet_b0", "vit_tiny_patch16_224")
}
VARIANTS = {
    "cnn-max-mlp": Case(architecture="cnn", options={"width": 4, "pooling": "max", "head": "mlp", "head_hidden": 16}),
    "cnn-avgmax": Case(architecture="cnn", options={"width": 4, "pooling": "avgmax"}),
    "alexnet-mlp": Case(architecture="alexnet", options={"hidden_features": 32, "head": "mlp", "head_hidden": 16}),
    "resnet10t-se-avgmax-mlp": Case(
        architecture="timm/resnet10t", options={"attention": "se", "pooling": "avgmax", "head": "mlp"}
    ),
    "resnet10t-cbam-max": Case(architecture="timm/resnet10t", options={"attention": "cbam", "pooling": "max"}),
    "test_vit-avgmax": Case(architecture="timm/test_vit", options={"pooling": "avgmax"}),
    "test_efficientnet-cbam": Case(architecture="timm/test_efficientnet", options={"attention": "cbam"}),
    "test_byobnet-se": Case(architecture="timm/test_byobnet", options={"attention": "se"}),
}
CASES = REGISTERED | OF_TIMM | VARIANTS


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread fixes the order of summation, so that losses can be compared bit for bit."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(params=REGISTERED)
def registered(request: pytest.FixtureRequest) -> Case:
    return REGISTERED[request.param]


def build(case: Case, *, seed: int = 0, in_channels: int = 1) -> Classifier:
    return create_model(
        case.architecture, num_classes=NUM_CLASSES, in_channels=in_channels, seed=seed, options=case.options
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


class TestEveryArchitecture:
    @pytest.mark.parametrize("in_channels", [1, 3])
    def test_logits_and_embeddings_are_finite_and_have_their_shape(self, case: Case, in_channels: int) -> None:
        model = build(case, in_channels=in_channels).eval()
        x = log_mel_batch(in_channels=in_channels, frames=108)
        with torch.no_grad():
            logits, embeddings = model(x), model.embed(x)
            assert torch.equal(model.head(embeddings), logits)
        assert logits.shape == (2, NUM_CLASSES)
        assert logits.dtype == torch.float32
        assert torch.isfinite(logits).all()
        assert embeddings.shape == (2, model.embedding_size)

    def test_every_promised_size_is_served(self, registered: Case) -> None:
        model = build(registered).to("meta")
        for mels, frames in [(64, 108), (128, 216), (224, 224)]:
            assert model(torch.zeros(2, 1, mels, frames, device="meta")).shape == (2, NUM_CLASSES)

    def test_half_the_frames_are_served_or_refused_with_the_numbers(self, registered: Case) -> None:
        model, x = build(registered).to("meta"), torch.zeros(2, 1, 64, 54, device="meta")
        if registered.architecture == "alexnet":
            with pytest.raises(ValueError, match="64 mels x 54 frames; allowed: 63 x 63 or more"):
                model(x)
        else:
            assert model(x).shape == (2, NUM_CLASSES)

    def test_every_parameter_learns_and_the_same_seed_gives_the_same_loss(self, case: Case) -> None:
        model = build(case)
        loss = train_two_steps(model)
        # The second step's gradients: zero-initialised residual branches pass nothing inwards in the first.
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.any(), name
        assert train_two_steps(build(case)) == loss

    def test_the_weights_come_from_the_seed_and_from_no_global_random_state(self, case: Case) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            before = torch.random.get_rng_state()
            first = build(case, seed=0).state_dict()
            assert torch.equal(torch.random.get_rng_state(), before)
            torch.default_generator.manual_seed(4)
            second, other = build(case, seed=0).state_dict(), build(case, seed=1)
        assert all(torch.equal(first[name], second[name]) for name in first)
        for name, parameter in other.named_parameters():
            if parameter.ndim > 1:
                assert not torch.equal(first[name], parameter), name

    def test_saved_and_loaded_gives_the_same_output(self, case: Case) -> None:
        model, x = build(case, seed=0), log_mel_batch()
        loaded = build(case, seed=1)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.train()(x)  # moves BatchNorm's running statistics away from those of a new model
            report = load_weights(loaded, read_weights(save(model.state_dict())))
            assert torch.equal(loaded.eval()(x), model.eval()(x))
        assert report.head_loaded
        assert report.num_loaded == len(model.state_dict())
        assert {name.partition(".")[0] for name in model.state_dict()} == {"backbone", "head"}

    def test_weights_of_images_serve_a_log_mel_with_another_head(self, case: Case) -> None:
        published, model = build(case, seed=1, in_channels=3).eval(), build(case, seed=0).eval()
        tensors = dict(published.backbone.state_dict())
        for name in published.published_head:
            tensors |= {f"{name}.weight": torch.ones(1000, 3), f"{name}.bias": torch.ones(1000)}
        head_before = model.head.state_dict()
        report = load_weights(model, read_weights(save(tensors)))
        x = log_mel_batch()
        with torch.no_grad():
            torch.testing.assert_close(model.embed(x), published.embed(x.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4)
        assert len(report.adapted) == 1
        assert not report.head_loaded
        assert all(torch.equal(value, head_before[name]) for name, value in model.head.state_dict().items())

    def test_dropout_acts_in_training_only(self, case: Case) -> None:
        options = {**case.options, "dropout": 0.9}
        model, x = create_model(case.architecture, num_classes=NUM_CLASSES, seed=0, options=options), log_mel_batch()
        # Frozen statistics leave dropout as the one thing that training mode changes.
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.train()
            for module in model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
            assert not torch.equal(model(x), model(x))
            model.eval()
            assert torch.equal(model(x), model(x))

    def test_an_unknown_option_names_the_allowed_ones_and_the_nearest(self, registered: Case) -> None:
        with pytest.raises(ValueError, match=r"no option 'droput'; allowed: .*dropout.*; did you mean 'dropout'\?"):
            create_model(registered.architecture, num_classes=2, seed=0, options={"droput": 0.1})

    @pytest.mark.parametrize("dropout", [-0.1, 1.5, "0.5", True])
    def test_an_impossible_dropout_is_refused(self, registered: Case, dropout: float | str) -> None:
        with pytest.raises(ValueError, match="dropout"):
            create_model(registered.architecture, num_classes=2, seed=0, options={"dropout": dropout})


@pytest.mark.parametrize(
    ("architecture", "num_published"),
    [
        ("alexnet", 61_100_840),  # torchvision, AlexNet_Weights.IMAGENET1K_V1
        ("efficientnet_b0", 5_288_548),  # torchvision, EfficientNet_B0_Weights.IMAGENET1K_V1
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


@pytest.mark.parametrize(("architecture", "side"), [("cnn", 15), ("alexnet", 63)])
def test_the_smallest_input_is_served_and_a_smaller_one_refused(architecture: str, side: int) -> None:
    model = build(REGISTERED[architecture]).eval()
    assert model(log_mel_batch(mels=side, frames=side)).shape == (2, NUM_CLASSES)
    with pytest.raises(ValueError, match=f"{side} x {side} or more"):
        model(log_mel_batch(mels=side, frames=side - 1))
