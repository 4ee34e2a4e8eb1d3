"""The benchmark of the loop measures every contender at both studies' sizes; its numbers mean nothing here."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["s1", "s2"])
def test_every_contender_is_measured(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(_ROOT))
    from benchmarks import train

    monkeypatch.setattr(train, "_NUM_ROWS", 20)
    study, rounds = train.STUDIES[name], 1
    with torch.random.fork_rng():
        race = train.Race("cnn", study, torch.device("cpu"), tmp_path / name, rounds=rounds, turn_s=0.0)
        found = race.run()
    assert set(found) == {"bare", "loop", "files"}
    assert all(len(images_per_s) == rounds and min(images_per_s) > 0 for images_per_s in found.values())
    assert race.flops_per_image() > 1e6
    assert len(list((tmp_path / name).iterdir())) == 20


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_cuda_device_it_says_so_in_one_line_and_ends_with_2() -> None:
    ended = subprocess.run(
        [sys.executable, "benchmarks/train.py", "--device", "cuda"], cwd=_ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "no CUDA device" in ended.stderr
