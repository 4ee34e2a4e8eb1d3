"""Weights of files: what is read, how it is fitted, and what is refused."""

import io
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file
from torch.optim.swa_utils import AveragedModel

from models import Classifier, create_model, load_weights, read_weights

Tensors = dict[str, torch.Tensor]


def small_cnn(*, seed: int = 0, in_channels: int = 1, num_classes: int = 3, width: int = 4) -> Classifier:
    return create_model(
        "cnn", num_classes=num_classes, in_channels=in_channels, seed=seed, options={"width": width}
    ).eval()


def torch_saved(value: object, **how: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **how)  # type: ignore[arg-type]
    return buffer.getvalue()


def is_filled_from(model: Classifier, source: Classifier) -> bool:
    wanted = source.backbone.state_dict()
    return all(torch.equal(value, wanted[name]) for name, value in model.backbone.state_dict().items())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_local_file_fills_a_model(tmp_path: Path, suffix: str) -> None:
    source, model, path = small_cnn(seed=1), small_cnn(seed=0), tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(source.state_dict(), path)
    else:
        save_file(source.state_dict(), path)
    load_weights(model, read_weights(path.read_bytes()))
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(x), source(x))


def test_the_format_of_torch_before_zip_files_is_read() -> None:
    tensors = small_cnn().state_dict()
    found = read_weights(torch_saved(tensors, _use_new_zipfile_serialization=False))
    assert found.keys() == tensors.keys()


@pytest.mark.parametrize("name", ["state_dict", "model", "model_state_dict"])
def test_the_state_dict_inside_a_training_checkpoint_is_found(name: str) -> None:
    tensors = small_cnn().state_dict()
    found = read_weights(torch_saved({"epoch": 3, "optimizer": {"lr": 0.1}, name: tensors}))
    assert found.keys() == tensors.keys()


def test_averaged_weights_are_preferred_to_those_of_the_last_step() -> None:
    found = read_weights(torch_saved({"state_dict": {"a": torch.zeros(1)}, "state_dict_ema": {"a": torch.ones(1)}}))
    assert found["a"] == 1


class _Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save_it", [lambda value: pickle.dumps(value, protocol=2), torch_saved])
def test_code_in_a_file_is_refused_and_never_run(tmp_path: Path, save_it: Callable[[object], bytes]) -> None:
    data = save_it({"weight": _Trap(tmp_path / "sprung")})
    with pytest.raises(ValueError, match="neither safetensors nor a state dict"):
        read_weights(data)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(_Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()  # it would have


GOOD = save({"weight": torch.zeros(64, 64)})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!DOCTYPE html><html><body>Sign in</body></html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
        GOOD[:-1],
        GOOD[:12],
        torch_saved({"weight": torch.zeros(64, 64)})[:-200],
        torch_saved(torch.nn.Linear(2, 2)),
    ],
    ids=["empty", "web page", "lfs pointer", "short", "shorter", "short zip", "whole module"],
)
def test_what_is_no_state_dict_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(ValueError, match="neither safetensors nor a state dict") as caught:
        read_weights(data)
    assert "\n" not in str(caught.value)
    assert f"{len(data)} bytes" in str(caught.value)


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({}, "no tensors"),
        ({"a": torch.zeros(2).to_sparse()}, "no plain tensors: 'a'"),
        ({"state_dict": {}}, "no tensors"),
        ({"lr": 0.1}, "no plain tensors: 'lr'"),
        ({"a": torch.zeros(2), "b": [1]}, "no plain tensors: 'b'"),
        ({0: torch.zeros(2)}, "no plain tensors: 0"),
    ],
)
def test_a_file_without_plain_tensors_is_refused(value: object, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        read_weights(torch_saved(value))


@pytest.mark.parametrize(
    "prefix",
    ["", "backbone.", "model.", "module.", "_orig_mod.", "module._orig_mod.backbone.", "_orig_mod.module.model."],
)
def test_what_wrappers_put_before_the_names_is_dropped(prefix: str) -> None:
    source, model = small_cnn(seed=1), small_cnn(seed=0)
    load_weights(model, {prefix + name: value for name, value in source.backbone.state_dict().items()})
    assert is_filled_from(model, source)


def test_the_average_of_torchs_own_swa_is_loaded_head_included() -> None:
    source, model = small_cnn(seed=1), small_cnn(seed=0)
    report = load_weights(model, AveragedModel(source).state_dict())
    assert is_filled_from(model, source)
    assert report.head_loaded
    assert report.ignored == ()


def test_the_head_of_another_number_of_classes_is_ignored_and_reported() -> None:
    source, model = small_cnn(seed=1, num_classes=5), small_cnn(seed=0)
    before = model.head.state_dict()["linear.weight"].clone()
    report = load_weights(model, source.state_dict())
    assert is_filled_from(model, source)
    assert not report.head_loaded
    assert report.ignored == ("head.linear.bias", "head.linear.weight")
    assert torch.equal(model.head.state_dict()["linear.weight"], before)


def test_a_published_head_of_the_same_size_is_loaded() -> None:
    def tiny_alexnet(seed: int) -> Classifier:
        return create_model("alexnet", num_classes=3, in_channels=3, seed=seed, options={"hidden_features": 8})

    source, model = tiny_alexnet(1), tiny_alexnet(0)
    published = source.backbone.state_dict() | {
        "classifier.6.weight": torch.full((3, 8), 2.0),
        "classifier.6.bias": torch.full((3,), 3.0),
    }
    report = load_weights(model, published)
    assert report.head_loaded
    assert report.num_loaded == len(published)
    assert (model.head.state_dict()["linear.weight"] == 2.0).all()


def test_what_stood_beside_the_backbone_in_the_file_is_ignored() -> None:
    source, model = small_cnn(seed=1), small_cnn(seed=0)
    named = {f"backbone.{name}": value for name, value in source.backbone.state_dict().items()}
    report = load_weights(model, named | {"classifier.weight": torch.zeros(2, 2)})
    assert report.ignored == ("classifier.weight",)


def test_one_channel_takes_the_sum_of_three_and_three_take_thirds_of_one() -> None:
    of_images, of_log_mels = small_cnn(seed=1, in_channels=3), small_cnn(seed=0)
    report = load_weights(of_log_mels, of_images.state_dict())
    assert report.adapted == ("stages.0.0.weight",)
    weight = of_images.backbone.state_dict()["stages.0.0.weight"]
    torch.testing.assert_close(of_log_mels.backbone.state_dict()["stages.0.0.weight"], weight.sum(1, keepdim=True))
    back = small_cnn(seed=2, in_channels=3)
    load_weights(back, of_log_mels.state_dict())
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(back(x.expand(-1, 3, -1, -1)), of_log_mels(x))


def test_half_precision_in_the_file_becomes_float32_in_the_model() -> None:
    source, model = small_cnn(seed=1), small_cnn(seed=0)
    load_weights(model, {name: value.half() if value.ndim else value for name, value in source.state_dict().items()})
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    with torch.no_grad():
        x = torch.ones(1, 1, 16, 16)
        torch.testing.assert_close(model(x), source(x), rtol=0.01, atol=0.01)


def test_files_without_counts_of_batches_are_fine() -> None:
    source, model = small_cnn(seed=1), small_cnn(seed=0)
    tensors = {n: v for n, v in source.state_dict().items() if not n.endswith("num_batches_tracked")}
    load_weights(model, tensors)
    assert is_filled_from(model, source)


def _without(tensors: Tensors, *, name: str) -> Tensors:
    return {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda t: _without(t, name="stages.1.0.weight"), r"lack stages\.1\.0\.weight"),
        (lambda t: {"conv1.weight": torch.zeros(1)}, r"lack stages\.0\.0\.weight.* and 26 more"),
        (lambda t: t | {"stages.1.1.bias": torch.zeros(9)}, r"stages\.1\.1\.bias \(9 float32, not 8 float32\)"),
        (lambda t: t | {"stages.1.1.bias": torch.zeros(8).int()}, r"stages\.1\.1\.bias \(8 int32, not 8 float32\)"),
        (lambda t: t | {"stages.3.0.weight": torch.zeros(1)}, r"unknown to the backbone, stages\.3\.0\.weight"),
    ],
)
def test_weights_of_another_backbone_are_refused_and_change_nothing(
    spoil: Callable[[Tensors], Tensors], what: str
) -> None:
    model = small_cnn(seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=what) as caught:
        load_weights(model, spoil(dict(small_cnn(seed=1).backbone.state_dict())))
    assert "use a file of the same architecture" in str(caught.value)
    assert _equal(model.state_dict(), before)


def _equal(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
