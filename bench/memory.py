"""Peak memory of one stretch of work, above what was there before it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path


class Peak:
    """Filled in by `peak_memory`: bytes above the start."""

    bytes = 0


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Sample the process's resident memory every millisecond (Linux)."""
    gc.collect()
    with contextlib.suppress(OSError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what earlier work freed must not hide ours
    peak, stop = Peak(), threading.Event()
    start = _resident()

    def sample() -> None:
        while not stop.is_set():
            peak.bytes = max(peak.bytes, _resident() - start)
            time.sleep(0.001)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def _resident() -> int:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
