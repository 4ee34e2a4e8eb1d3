"""An exported model is loaded again and says what the model says; one that does not is never handed out."""

import dataclasses
import json
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models import create_model
from storage.errors import InvalidInput
from storage.model_file import ModelCard
from training import onnx_file, portable, torch_file
from training.inference import InferenceModel
from training.portable import Format, portable_model

SHAPE = (32, 40)


def make_card(*, is_multi_label: bool = False, **inputs: object) -> ModelCard:
    return ModelCard(
        architecture="cnn",
        options={"width": 4},
        labels=("dog", "Möwe", "犬"),
        is_multi_label=is_multi_label,
        features={"num_mels": 32},
        fingerprint="f" * 16,
        inputs=inputs,
        mean_db=-40.0,
        deviation_db=15.0,
        dataset="toy",
        split_hash="5" * 16,
        trial={},
        seed=1,
        best_epoch=1,
        scores={},
    )


def weights(card: ModelCard, shape: tuple[int, int] = SHAPE) -> Mapping[str, torch.Tensor]:
    """Random ones, with BatchNorm's statistics of some input: an EfficientNet without answers everything alike."""
    channels = card.inputs.get("channels", 1)
    model = create_model(card.architecture, num_classes=3, in_channels=channels, seed=3, options=card.options)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        model.train()((torch.rand(16, channels, *shape) - 0.5) * 80 / 15)  # as log-mels from -80 to 0 dB are scaled
    return {name: tensor * 3 if name.startswith("head") else tensor for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("format", ["onnx", "torch"])
@pytest.mark.parametrize(
    "card",
    [
        make_card(),
        make_card(scaling="unit", channels=3, height=24, width=20),
        make_card(is_multi_label=True),
    ],
    ids=["standard", "unit, three channels, smaller", "several labels"],
)
def test_an_export_says_what_the_model_says(card: ModelCard, format: Format) -> None:
    exported = portable_model(weights(card), card, shape=SHAPE, format=format)
    assert exported.largest_difference <= 1e-5
    log_mel = np.random.default_rng(8).uniform(-80, 0, (7, *SHAPE)).astype(np.float32)
    with torch.inference_mode():
        expected = InferenceModel(weights(card), card)(torch.from_numpy(log_mel)).numpy()
    found = {"onnx": onnx_file, "torch": torch_file}[format].answers(exported.data, log_mel)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found, axis=0).max() > 1e-3


@pytest.mark.parametrize("format", ["onnx", "torch"])
@pytest.mark.parametrize(
    ("architecture", "options", "shape"),
    [
        pytest.param("timm/test_resnet", {"pooling": "avgmax"}, SHAPE, id="timm's smallest, avgmax"),
        pytest.param("alexnet", {"hidden_features": 16}, (64, 80), id="alexnet", marks=pytest.mark.slow),
        pytest.param("resnet50_se", {}, SHAPE, id="resnet50_se", marks=pytest.mark.slow),
        pytest.param("resnet50_cbam", {}, SHAPE, id="resnet50_cbam", marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", {}, (64, 80), id="efficientnet_b0", marks=pytest.mark.slow),
    ],
)
def test_every_architecture_can_be_exported(
    architecture: str, options: dict[str, object], shape: tuple[int, int], format: Format
) -> None:
    card = dataclasses.replace(make_card(), architecture=architecture, options=options)
    tensors = weights(card, shape)
    exported = portable_model(tensors, card, shape=shape, format=format)
    answer = {"onnx": onnx_file, "torch": torch_file}[format].answers
    log_mel = np.random.default_rng(8).uniform(-80, 0, (7, *shape)).astype(np.float32)
    with torch.inference_mode():
        expected = InferenceModel(tensors, card)(torch.from_numpy(log_mel)).numpy()
    np.testing.assert_allclose(answer(exported.data, log_mel), expected, atol=1e-4)
    for row in range(2):
        np.testing.assert_allclose(answer(exported.data, log_mel[row : row + 1])[0], expected[row], atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 1e-3


def test_labels_and_features_are_inside() -> None:
    card = make_card()
    onnx = onnx_file.about(portable_model(weights(card), card, shape=SHAPE, format="onnx").data)
    torch_ = torch_file.about(portable_model(weights(card), card, shape=SHAPE, format="torch").data, *onnx)
    assert onnx == torch_
    assert json.loads(onnx["labels"]) == list(card.labels)
    assert json.loads(onnx["features"]) == card.features
    assert json.loads(onnx["melsweep_model"])["split_hash"] == card.split_hash


def test_an_export_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    card, answers = make_card(), torch_file.answers

    def disturbed(data: bytes, log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
        return answers(data, log_mel) + np.float32(2e-4)

    monkeypatch.setattr(torch_file, "answers", disturbed)
    with pytest.raises(InvalidInput, match=r"differ from the model's by 2\.0e-04.*Take format=onnx"):
        portable_model(weights(card), card, shape=SHAPE, format="torch")
    monkeypatch.setattr(torch_file, "answers", lambda data, log_mel: answers(data, log_mel) * np.nan)
    with pytest.raises(InvalidInput, match="by nan"):
        portable_model(weights(card), card, shape=SHAPE, format="torch")


def test_an_export_that_differs_for_a_single_window_of_sound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where an operation takes a batch of one for something else."""
    card, answers = make_card(), torch_file.answers

    def disturbed(data: bytes, log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
        is_alone = len(log_mel) == 1 and np.ptp(log_mel) > 0
        return answers(data, log_mel) + np.float32(2e-4 if is_alone else 0)

    monkeypatch.setattr(torch_file, "answers", disturbed)
    with pytest.raises(InvalidInput, match=r"differ from the model's by 2\.0e-04"):
        portable_model(weights(card), card, shape=SHAPE, format="torch")


@pytest.mark.parametrize("told", ["the runtime cannot\nand says why", ""])
def test_a_file_that_cannot_be_run_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    def broken(data: bytes, log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
        raise LookupError(told)

    monkeypatch.setattr(torch_file, "answers", broken)
    card, reason = make_card(), told.partition("\n")[0] or "LookupError"
    with pytest.raises(InvalidInput, match=rf"torch, whose file cannot be run \({reason}\).*Take format=onnx") as e:
        portable_model(weights(card), card, shape=SHAPE, format="torch")
    assert "\n" not in str(e.value)


class _Undecided(torch.nn.Module):
    """Does one thing or another by the numbers it sees, which no graph can say."""

    def forward(self, log_mel_RMT: torch.Tensor) -> torch.Tensor:
        return log_mel_RMT.sum(dim=2) if log_mel_RMT.mean() > 0 else log_mel_RMT.amax(dim=2)


@pytest.mark.parametrize("form", [onnx_file, torch_file])
def test_what_a_format_cannot_express_is_refused(form: portable.PortableFormat) -> None:
    with pytest.raises(InvalidInput, match=r"for this model \(.+\).*instead"):
        form.encode(_Undecided().eval(), torch.zeros(2, 3, 4), {})  # type: ignore[arg-type]


def test_weights_that_fit_into_no_onnx_file_are_refused() -> None:
    class Large(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.empty(2**29, device="meta"))

    with pytest.raises(InvalidInput, match="2 GiB of weights"):
        onnx_file.encode(Large(), torch.zeros(2, 3, 4), {})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = portable.onnx_file.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else find(name))
    card = make_card()
    with pytest.raises(InvalidInput, match=r"onnxscript is not installed.*pip install 'melsweep\[export\]'"):
        portable_model(weights(card), card, shape=SHAPE, format="onnx")
