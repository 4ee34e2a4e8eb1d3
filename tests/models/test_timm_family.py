"""timm as a family of architectures: names, pooling, attention layers, sizes and published weights."""

from typing import Any

import pytest
import timm
import torch
import torchvision
from timm.layers import SEModule
from timm.layers.cbam import CbamModule
from torch import nn

from models import create_model, hub_weights, hub_weights_name, load_weights
from models.heads import HeadSpec


def num_layers(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_efficientnet", "test_convnext", "test_byobnet", "test_vit2"]
)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_timms_own_model_and_ours_with_its_weights_give_the_same_features(name: str, in_channels: int) -> None:
    theirs = timm.create_model(name, pretrained=False).eval()
    ours = create_model(f"timm/{name}", num_classes=4, in_channels=in_channels, seed=0).eval()
    load_weights(ours, theirs.state_dict())
    size = theirs.pretrained_cfg["input_size"][-2:]
    x = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(0))
    x_of_theirs = x.expand(-1, 3, -1, -1)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(x_of_theirs), pre_logits=True)
        torch.testing.assert_close(ours.embed(x if in_channels == 1 else x_of_theirs), expected, rtol=1e-3, atol=1e-4)


def test_a_transformers_final_norm_moves_behind_the_pooling_and_back() -> None:
    token = create_model("timm/test_vit", num_classes=4, seed=1)
    averaged = create_model("timm/test_vit", num_classes=4, seed=0, options={"pooling": "avg"})
    nn.init.uniform_(token.backbone.get_submodule("norm").get_parameter("weight"))
    load_weights(averaged, token.state_dict())
    weight = averaged.backbone.get_submodule("fc_norm").get_parameter("weight")
    assert torch.equal(weight, token.backbone.get_submodule("norm").get_parameter("weight"))
    again = create_model("timm/test_vit", num_classes=4, seed=2)
    load_weights(again, averaged.state_dict())
    assert torch.equal(again.backbone.get_submodule("norm").get_parameter("weight"), weight)


def test_avgmax_is_the_mean_of_average_and_maximum() -> None:
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    embeddings = {}
    for architecture in ("cnn", "timm/test_resnet"):
        for pooling in ("avg", "max", "avgmax"):
            model = create_model(architecture, num_classes=2, seed=0, options={"pooling": pooling}).eval()
            with torch.no_grad():
                embeddings[pooling] = model.embed(x)
        torch.testing.assert_close(embeddings["avgmax"], (embeddings["avg"] + embeddings["max"]) / 2)
        assert (embeddings["max"] >= embeddings["avg"]).all()


@pytest.mark.parametrize(
    ("architecture", "options", "num_se", "num_cbam"),
    [
        ("resnet50", {}, 0, 0),
        ("resnet50", {"attention": "cbam"}, 0, 16),
        ("resnet50_se", {}, 16, 0),
        ("resnet50_cbam", {}, 0, 16),
        ("efficientnet_b0", {"attention": "cbam"}, 0, 16),
        ("timm/resnet10t", {"attention": "se"}, 4, 0),
        ("timm/seresnet50", {"attention": "none"}, 16, 0),
        ("timm/seresnet50", {"attention": "cbam"}, 0, 16),
        ("timm/res2net50_26w_4s", {"attention": "cbam"}, 0, 16),
        ("timm/skresnet50", {"attention": "se"}, 16, 0),
        ("timm/mobileone_s0", {"attention": "cbam"}, 0, 43),
    ],
)
def test_each_block_of_a_variant_has_its_attention(
    architecture: str, options: dict[str, Any], num_se: int, num_cbam: int
) -> None:
    model = create_model(architecture, num_classes=2, seed=0, options=options)
    assert (num_layers(model, SEModule), num_layers(model, CbamModule)) == (num_se, num_cbam)


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("resnet_18", {}, r"'timm/resnet_18' is unknown to timm .*; near names: .*resnet18"),
        ("", {}, "is unknown to timm"),
        ("../resnet18", {}, "is unknown to timm"),
        ("hf-hub:someone/model", {}, "is unknown to timm"),
        ("resnet50.nope", {}, r"no weights have the tag 'nope'; allowed: .*tv_in1k"),
        ("resnet10t", {"pooling": "mean"}, r"pooling is 'mean'; allowed: own, avg, max, avgmax"),
        (
            "xcit_nano_12_p8_224",
            {"pooling": "max"},
            r"timm cannot build it with .*global_pool='max': Only avg or token",
        ),
        ("mobilenetv2_050", {"attention": "cbam"}, "the model has no place for it"),
        ("test_vit", {"attention": "se"}, "vision_transformer models take no attention layer; allowed: none"),
        ("cspresnet50", {"attention": "se"}, "cspnet models take no attention layer; allowed: none"),
        ("mobilenetv3_small_050", {"attention": "se"}, "which its blocks have by themselves; allowed: none$"),
        ("mobilenetv3_small_050", {"attention": "cbam"}, "mobilenetv3 models take no attention layer; allowed: none"),
        # Their own arguments of a block (Res2Net's scale, SK's split) would be lost.
        ("res2net50_26w_8s", {"attention": "cbam"}, "the model has no place for it beside what it has"),
        ("skresnet18", {"attention": "se"}, "the model has no place for it beside what it has"),
        ("test_efficientnet", {"attention": "se"}, "which its blocks have by themselves; allowed: none, cbam"),
    ],
)
def test_what_timm_cannot_build_is_refused_with_what_it_can(name: str, options: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what) as caught:
        create_model(f"timm/{name}", num_classes=2, seed=0, options=options)
    assert "\n" not in str(caught.value)


def test_a_transformer_of_one_size_refuses_others_with_the_numbers() -> None:
    model = create_model("timm/swin_tiny_patch4_window7_224", num_classes=2, seed=0).to("meta")
    assert model(torch.zeros(1, 1, 224, 224, device="meta")).shape == (1, 2)
    with pytest.raises(ValueError, match="64 mels x 108 frames; allowed: 224 x 224 alone"):
        model(torch.zeros(1, 1, 64, 108, device="meta"))


def test_the_mlp_head_is_that_of_s1() -> None:
    layers = list(HeadSpec(kind="mlp").build(2048, 50))
    assert [type(layer) for layer in layers] == [nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.5, 0.3]
    assert [tuple(layer.weight.shape) for layer in layers if isinstance(layer, nn.Linear)] == [(512, 2048), (50, 512)]


class TestPublishedWeights:
    @pytest.fixture
    def hub(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, nn.Module]:
        """A hub on this machine: name → what `timm.create_model(name, pretrained=True)` gave last."""
        given: dict[str, nn.Module] = {}
        create = timm.create_model

        def create_as_if_online(name: str, *, pretrained: bool = False, **arguments: Any) -> nn.Module:
            model: nn.Module = create(name, pretrained=False, **arguments)
            if pretrained:
                given[name] = model
            return model

        monkeypatch.setattr(timm, "create_model", create_as_if_online)
        return given

    def test_they_fill_the_backbone_whatever_its_channels_and_pooling(self, hub: dict[str, nn.Module]) -> None:
        model = create_model(
            "timm/test_resnet", num_classes=2, seed=0, options={"pooling": "avgmax", "head": "mlp"}, pretrained=True
        )
        published = hub["test_resnet"].state_dict()
        assert torch.equal(model.backbone.state_dict()["layer4.0.conv1.weight"], published["layer4.0.conv1.weight"])

    def test_the_head_is_a_function_of_the_seed(self, hub: dict[str, nn.Module]) -> None:
        plain, filled = (
            create_model("timm/test_resnet", num_classes=2, seed=5, pretrained=pretrained)
            for pretrained in (False, True)
        )
        assert torch.equal(plain.head.state_dict()["linear.weight"], filled.head.state_dict()["linear.weight"])

    def test_torchvisions_alexnet_and_ours_with_its_weights_give_the_same_logits(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        theirs = torchvision.models.alexnet(weights=None).eval()
        monkeypatch.setattr(
            "torchvision.models._api.load_state_dict_from_url", lambda *_, **__: dict(theirs.state_dict())
        )
        ours = create_model("alexnet", num_classes=1000, seed=0, pretrained=True).eval()
        x = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            torch.testing.assert_close(ours(x), theirs(x.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4)

    def test_without_a_network_both_ways_are_named_in_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(name: str, **arguments: Any) -> nn.Module:
            raise OSError("We couldn't connect\nto the hub")

        monkeypatch.setattr(timm, "create_model", fail)
        with pytest.raises(ValueError, match="cannot be fetched") as caught:
            hub_weights("resnet50")
        message = str(caught.value)
        assert "couldn't connect to the hub" in message
        assert "network access" in message
        assert "weights=<path or s3:// uri of a safetensors or state-dict file>" in message
        assert "\n" not in message

    @pytest.mark.parametrize(
        ("architecture", "name"),
        [
            ("resnet50", "timm/resnet50.a1_in1k"),
            ("resnet50_se", "timm/seresnet50.a1_in1k"),
            ("timm/resnet50", "timm/resnet50.a1_in1k"),
            ("timm/resnet50.tv_in1k", "timm/resnet50.tv_in1k"),
            ("alexnet", "torchvision/alexnet.IMAGENET1K_V1"),
        ],
    )
    def test_their_full_name_says_which_ones_they_are_and_asks_no_network(
        self, architecture: str, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError("no network")

        monkeypatch.setattr("socket.socket.connect", refuse)
        assert hub_weights_name(architecture) == name

    @pytest.mark.parametrize(
        ("architecture", "options", "what"),
        [
            ("cnn", {}, r"'cnn' has no published weights; those with some: alexnet, .*timm/<name>.*weights=<path"),
            ("resnet50_cbam", {}, "'resnet50_cbam' has no published weights"),
            ("resnet50", {"attention": "se"}, "no published weights have the added attention 'se'"),
            ("timm/resnetblur18", {}, "timm publishes no weights for it"),
        ],
    )
    def test_weights_that_nobody_publishes_are_no_matter_of_the_network(
        self, architecture: str, options: dict[str, Any], what: str
    ) -> None:
        with pytest.raises(ValueError, match=what):
            create_model(architecture, num_classes=2, seed=0, options=options, pretrained=True)
        with pytest.raises(ValueError, match=what):
            hub_weights_name(architecture, options)
