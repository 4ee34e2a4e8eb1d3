"""How much memory a process takes for itself, and which errors say that there was too little.

What is counted is what another trial beside this one would take as well: a CUDA context with everything on the device,
or a process's own pages. On the CPU features in memory that is shared, and libraries, are there once for all.
"""

import sys
from pathlib import Path

import torch

from training.steps import OutOfMemory

_STATUS = Path("/proc/self/status")
# Errors that torch raises as others than OutOfMemoryError: of the CPU's allocator, of a CUDA context, of cuBLAS.
_TOLD = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, is that the device had too little memory at that moment."""
    if isinstance(error, OutOfMemory | torch.OutOfMemoryError):
        return True
    if isinstance(error, RuntimeError) and any(words in str(error) for words in _TOLD):
        return True
    return error.__cause__ is not None and ran_out_of_memory(error.__cause__)


def peak_bytes(device: torch.device) -> int:
    """The most that this process has taken so far.

    On a GPU what torch's allocator held at its peak, and the context: all else that is in use on the device now, so
    this is right where nobody else uses the device. On the CPU the peak of the resident pages less those that are of
    files or shared with other processes now; elsewhere than on Linux these are not known, and count.
    """
    if device.type != "cuda":
        return _peak_resident_bytes() - _status_bytes("RssShmem") - _status_bytes("RssFile")
    free, total = torch.cuda.mem_get_info(device)
    context = max(0, total - free - torch.cuda.memory_reserved(device))
    return torch.cuda.max_memory_reserved(device) + context


def _peak_resident_bytes() -> int:
    # VmHWM begins anew with a process's program; getrusage's maximum is inherited from the process that started it.
    of_linux = _status_bytes("VmHWM")
    if of_linux:
        return of_linux
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status_bytes(name: str) -> int:
    """A line of what Linux tells of this process; 0 elsewhere."""
    if not _STATUS.exists():
        return 0
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
