"""One worker: it holds the model and does what it is told.

Ray makes an actor of this class. A worker writes nothing; what it returns is kept by the driver.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from goldenlayers.cluster.engine import Task
from goldenlayers.cluster.parcel import Parcel, unpack


class Failed:
    """What a task raised, on its way to the driver.

    Attributes:
        error: The exception, as a value: Ray would wrap it in one of its own.
    """

    def __init__(self, error: Exception):
        self.error = error


class Worker:
    """Holds a model, and a task at a time.

    Args:
        parcel: The model's structure.
        arrays: Its weights, shared with the other workers of the machine.
        threads: Threads of a computation; part of what decides the last bits of a result.
        gpus: GPUs that the worker has to itself.
    """

    def __init__(self, parcel: Parcel, arrays: list[Any], threads: int, gpus: int):
        import torch

        torch.set_num_threads(threads)
        self.model, self.tokenizer = unpack(parcel, arrays)
        if gpus == 1:
            self.model = self.model.to("cuda")
        elif gpus > 1:
            self.model = _over_gpus(self.model)
        self._task: tuple[int, Task] | None = None

    def where(self) -> tuple[str, int]:
        """Return the machine and the process; the worker is ready when it answers."""
        return socket.gethostname(), os.getpid()

    def hold(self, number: int, task: Task) -> None:
        """Keep a task for the items that follow: it may be large."""
        self._task = number, task

    def do(self, number: int, item: Any) -> Any:
        """Return the result of one item, or `Failed`."""
        if self._task is None or self._task[0] != number:
            raise RuntimeError(f"task {number} was not handed over")
        try:
            return self._task[1](self.model, self.tokenizer, item)
        except Exception as error:
            return Failed(error)


def _over_gpus(model: Any) -> Any:
    """Spread a model over the GPUs that the worker sees."""
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    apart = getattr(model, "_no_split_modules", None)
    memory = get_balanced_memory(model, no_split_module_classes=apart)
    places = infer_auto_device_map(model, max_memory=memory, no_split_module_classes=apart)
    return dispatch_model(model, places)
