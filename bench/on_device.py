"""Time, memory and matrix rate on whatever device a model lies on."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

from bench.memory import peak_memory

T = TypeVar("T")


@dataclass
class Peak:
    """Bytes at the peak of some work above those before it."""

    bytes: int = 0


def wait(device: torch.device) -> None:
    """Wait until the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clock(device: torch.device) -> float:
    """Return seconds: by the wall beside a GPU; of the processor, a thread, on the CPU.

    Other programs may share a CPU, and then the wall tells of them as much as of us.
    """
    if device.type == "cuda":
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


def timed(work: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """Do some work; return what it gave, and its seconds by the `clock`."""
    wait(device)
    start = clock(device)
    made = work()
    wait(device)
    return made, clock(device) - start


@contextlib.contextmanager
def peak(device: torch.device) -> Iterator[Peak]:
    """Measure the peak of what is allocated: on a GPU torch's own count, else resident memory."""
    found = Peak()
    if device.type != "cuda":
        with peak_memory() as resident:
            yield found
        found.bytes = resident.bytes
        return
    gc.collect()
    torch.cuda.empty_cache()
    wait(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    yield found
    wait(device)
    found.bytes = torch.cuda.max_memory_allocated(device) - before


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return operations per second of one large square product, the best of ten."""
    n = 8192 if device.type == "cuda" else 2048
    a = torch.randn(n, n, device=device, dtype=dtype)
    a @ a
    return 2.0 * n**3 / min(timed(lambda: a @ a, device)[1] for _ in range(10))


def described(device: torch.device) -> str:
    """Return what the device is, in words."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    threads = torch.get_num_threads()
    return f"the CPU, {threads} thread{'s' * (threads > 1)}"
