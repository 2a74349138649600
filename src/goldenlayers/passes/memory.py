"""How much memory is free on a device, and whether an error says that it ran out."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch

CONTROL_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def free_memory(device: torch.device) -> int:
    """Return how many bytes are free on a device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    # accelerate, which transformers needs to read the bundled model, brings psutil
    free = int(importlib.import_module("psutil").virtual_memory().available)
    for limit, usage in CONTROL_GROUPS:
        try:
            bound = int(Path(limit).read_text()) - int(Path(usage).read_text())
        except (OSError, ValueError):  # no such control group, or "max"
            continue
        free = min(free, max(0, bound))
    return free


# of the CPU, where an allocator other than torch's own runs out: mapping a file, and on Windows
OF_CPU = ("Cannot allocate memory", "not enough memory: you tried to allocate")


def ran_out(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on whatever device.

    torch has an error of its own for the GPU's allocator. What cuBLAS, cuDNN, Apple's and the CPU's
    allocator say is a plain `RuntimeError`: accelerate keeps the list of most of those messages.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    from accelerate.utils.memory import should_reduce_batch_size

    more = ("CUBLAS_STATUS_ALLOC_FAILED", *OF_CPU)
    return should_reduce_batch_size(error) or any(words in str(error) for words in more)
