"""The benchmark's part for a device walks all of its code on the CPU too, where its numbers mean nothing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pipelines.feature_spec import FeatureSpec

_ROOT = Path(__file__).parents[2]


def test_every_contender_and_ceiling_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(_ROOT))
    from benchmarks.featurize_device import race

    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path in files:
        soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 22_050), 44_100)
    spec = FeatureSpec(window_s=0.5, n_fft=512, hop_samples=256)
    figures = race(files, spec, "cpu", num_clips=3, rounds=2, num_processes=1)
    contenders = {"torchaudio", "melsweep_torch", "melsweep_dali", "decoding_alone", "upload_alone", "device_alone"}
    more = {"upload_gb_per_s", "vs_torchaudio"}
    assert set(figures) == {f"featurize.cpu_{name}" for name in contenders | more}
    assert all(value > 0 for value in figures.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_cuda_device_it_says_so_in_one_line_and_ends_with_2() -> None:
    ended = subprocess.run(
        [sys.executable, "benchmarks/featurize.py", "--device", "cuda"], cwd=_ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "no CUDA device" in ended.stderr
