"""What a process takes, and what an error says about memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from storage.errors import InvalidInput
from training.memory import peak_bytes, ran_out_of_memory
from training.steps import OutOfMemory

_MB = 2**20
_ROOT = Path(__file__).parents[2]
_GROWN = """
import multiprocessing.shared_memory, sys
import torch
from training.memory import peak_bytes

shared = multiprocessing.shared_memory.SharedMemory(create=True, size=64 << 20)
before = peak_bytes(torch.device("cpu"))
if sys.argv[1] == "own":
    torch.ones(64 << 20, dtype=torch.uint8)  # let go at once
else:
    for start in range(0, 64 << 20, 1 << 20):
        shared.buf[start : start + (1 << 20)] = b"1" * (1 << 20)
print(peak_bytes(torch.device("cpu")) - before)
shared.close(); shared.unlink()
"""


def caused_by(error: Exception) -> Exception:
    try:
        try:
            raise error
        except type(error) as e:
            raise InvalidInput("the features", given="1 row", allowed="what fits", remedy="Take fewer.") from e
    except InvalidInput as e:
        return e


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OutOfMemory("one clip"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (caused_by(torch.OutOfMemoryError("CUDA out of memory")), True),
        (caused_by(OSError("no such file")), False),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
    ids=lambda value: str(value)[:20],
)
def test_errors_of_too_little_memory_are_told_from_others(error: Exception, expected: bool) -> None:
    assert ran_out_of_memory(error) is expected


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells shared pages")
def test_a_peak_stays_when_the_memory_is_let_go_and_shared_memory_is_none() -> None:
    def grown(kind: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", _GROWN, kind], capture_output=True, text=True, check=True, cwd=_ROOT
        )
        return int(done.stdout)

    assert grown("own") > 60 * _MB
    assert grown("shared") < 8 * _MB


def test_a_process_with_torch_in_it_takes_something() -> None:
    assert peak_bytes(torch.device("cpu")) > 10 * _MB
