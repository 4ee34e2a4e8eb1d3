"""Which backend and device a run gets, and what is refused before anything starts."""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_toys import SETTINGS, SPEC, Complete

from cluster.session import cluster_resources
from pipelines.backends import create_backend
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings, featurize
from pipelines.manifest import Manifest
from storage.errors import InvalidInput
from storage.object_store import open_store


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clips_per_shard": -1}, r"pipeline\.clips_per_shard: got -1; allowed: 0 or more"),
        ({"shard_bytes": 0}, r"pipeline\.shard_bytes: got 0; allowed: 1 or more"),
        ({"device": "tpu"}, r"pipeline\.device: got 'tpu'; allowed: auto, cpu or cuda"),
        ({"clip_time_limit_s": 0.0}, r"pipeline\.clip_time_limit_s: got 0\.0; allowed: above 0"),
    ],
)
def test_impossible_settings_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        PipelineSettings(**given)


@pytest.mark.parametrize(
    ("backend", "device", "num_gpus", "chosen"),
    [
        ("auto", "auto", 0, ("cpu", "cpu")),
        ("auto", "auto", 2, ("dali", "cuda")),
        ("auto", "cpu", 2, ("cpu", "cpu")),
        ("auto", "cuda", 0, ("dali", "cuda")),
        ("torch", "auto", 0, ("torch", "cpu")),
        ("torch", "auto", 1, ("torch", "cuda")),
        ("cpu", "auto", 1, ("cpu", "cpu")),
    ],
)
def test_auto_takes_the_gpu_where_there_is_one(
    backend: str, device: str, num_gpus: int, chosen: tuple[str, str]
) -> None:
    settings = PipelineSettings(backend=backend, device=device).resolved(num_gpus, SPEC)
    assert (settings.backend, settings.device) == chosen


@pytest.mark.parametrize(
    ("spec", "chosen"),
    [
        (FeatureSpec(power=1.5), ("torch", "cuda")),
        (FeatureSpec(representation="kaldi_fbank", n_fft=512, num_mels=40), ("torch", "cuda")),
        (FeatureSpec(representation="kaldi_fbank", n_fft=512, num_mels=40, frame_samples=200), ("cpu", "cpu")),
        (FeatureSpec(representation="iq_magnitude"), ("cpu", "cpu")),
    ],
)
def test_auto_takes_no_backend_that_cannot_express_the_spec(spec: FeatureSpec, chosen: tuple[str, str]) -> None:
    settings = PipelineSettings().resolved(1, spec)
    assert (settings.backend, settings.device) == chosen
    create_backend(settings.backend, spec)


def test_a_gpu_that_no_backend_could_use_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"pipeline\.device: got 'cuda'.*only the backend cpu computes iq_channels"):
        PipelineSettings(device="cuda").resolved(1, FeatureSpec(representation="iq_channels"))


def test_a_backend_that_cannot_express_the_spec_is_told_before_anything_starts(
    without_ray: None, corpus: Manifest, tmp_path: Path
) -> None:
    spec = FeatureSpec(representation="kaldi_fbank", n_fft=512, num_mels=40)
    with pytest.raises(InvalidInput, match=r"Set pipeline\.backend to cpu or torch"):
        featurize(corpus, spec, open_store(str(tmp_path)), PipelineSettings(backend="dali", device="cuda"))


def test_a_spec_for_radio_on_recordings_of_sound_is_told_before_anything_starts(
    without_ray: None, corpus: Manifest, tmp_path: Path
) -> None:
    spec = FeatureSpec(representation="iq_magnitude")
    with pytest.raises(InvalidInput, match=r"got 'iq_magnitude'; allowed: log_mel or kaldi_fbank for sound"):
        featurize(corpus, spec, open_store(str(tmp_path)), SETTINGS)


class TestBackends:
    @pytest.mark.skipif(importlib.util.find_spec("nvidia.dali") is None, reason="DALI is not installed")
    def test_dali_agrees_with_the_cpu_backend(self, complete: Complete, corpus: Manifest, tmp_path: Path) -> None:
        settings = dataclasses.replace(SETTINGS, backend="dali", clips_per_shard=100)
        features = featurize(corpus, SPEC, open_store(str(tmp_path)), settings).features
        ours, theirs = complete.result.features.load(), features.load()
        assert theirs.clip_ids == ours.clip_ids
        difference_db = np.abs(theirs.log_mel.astype(np.float32) - ours.log_mel.astype(np.float32)).mean(axis=(1, 2))
        assert difference_db.max() <= 0.05  # the tolerance both backends state
        assert features.quarantine().equals(complete.result.features.quarantine())

    @pytest.mark.usefixtures("without_ray")
    def test_an_unknown_backend_is_refused_before_any_actor_starts(self, corpus: Manifest, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"pipeline\.backend: got 'dalli'.*Did you mean 'dali'\?"):
            featurize(corpus, SPEC, open_store(str(tmp_path)), PipelineSettings(backend="dalli"))

    @pytest.mark.usefixtures("ray_local")
    def test_a_gpu_that_no_node_has_is_refused_rather_than_waited_for(self, corpus: Manifest, tmp_path: Path) -> None:
        if cluster_resources().num_gpus:
            pytest.skip("this machine has a GPU")
        with pytest.raises(InvalidInput, match=r"pipeline\.device: got 'cuda'; allowed: cpu, .*pipeline\.device=cpu"):
            featurize(corpus, SPEC, open_store(str(tmp_path)), PipelineSettings(backend="dali", device="cuda"))
