"""The export job: a file that says what the trial said, and what cannot be exported."""

import json
from pathlib import Path

import numpy as np
import pytest
from trained_toys import LABELS, SPEC, Trained

from jobs import export
from pipelines.featurize import PipelineSettings
from pipelines.few_clips import features_of_few
from pipelines.sources import read_manifest
from storage.object_store import open_store
from training import onnx_file, torch_file


@pytest.mark.parametrize(("format", "name"), [("onnx", "model.onnx"), ("torch", "model.pt2")])
def test_an_exported_file_says_what_the_trial_said(
    trained: Trained, tmp_path: Path, format: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"model={trained.key}", f"to={tmp_path}/exported", f"format={format}"]
    assert export.main([*words, f"storage.uri={trained.store.uri}"]) == 0
    printed = capsys.readouterr().out
    assert "largest difference to the model" in printed
    assert f"(batch, {SPEC.num_mels}, {SPEC.num_frames})" in printed
    data = (tmp_path / "exported" / name).read_bytes()
    manifest = read_manifest("folder", root=str(trained.recordings), name="toy")
    features, _ = features_of_few(manifest, SPEC, PipelineSettings(backend="cpu", device="cpu"))
    form = {"onnx": onnx_file, "torch": torch_file}[format]
    found = dict(zip(features.clip_ids, form.answers(data, features.log_mel.astype(np.float32)), strict=True))
    for path, said in trained.test_probabilities(trained.key).items():
        np.testing.assert_allclose(found[path], said, atol=1e-5)
    about = onnx_file.about(data) if format == "onnx" else torch_file.about(data, "labels", "fingerprint")
    assert json.loads(about["labels"]) == list(LABELS)
    assert about["fingerprint"] == SPEC.fingerprint


def test_to_s3(trained: Trained, s3_uri: str) -> None:
    words = [f"model={trained.key}", f"to={s3_uri}", "format=torch", f"storage.uri={trained.store.uri}"]
    assert export.main(words) == 0
    assert open_store(s3_uri).size_bytes("model.pt2")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["to="], "Give to=…"),
        (["model=x"], "a model file"),
        (["format=tflite"], "allowed: onnx, torch"),
        (["formt=onnx"], "Did you mean 'format'?"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(
    trained: Trained, tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"model={trained.key}", f"to={tmp_path}/exported", f"storage.uri={trained.store.uri}", *words]
    assert export.main(given) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "exported").exists()
