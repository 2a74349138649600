"""Numbers between host and device, with as few waits as can be.

A GPU works through what it was asked for while the host asks for more. Each number that the host
wants to see, and each plain copy to the GPU, makes the host wait until all of it is done; then the
GPU waits for the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def on_device(values: Any, device: torch.device | str, dtype: torch.dtype | None = None) -> Tensor:
    """Return numbers as a tensor on a device; a GPU is not waited for.

    Args:
        values: Numbers, or lists of them.
        device: Where the tensor goes.
        dtype: Its dtype; int64 of whole numbers, float32 of others, if None.
    """
    made = torch.tensor(values, dtype=dtype, device="cpu")
    if torch.device(device).type != "cuda":
        return made.to(device)
    return made.pin_memory().to(device, non_blocking=True)


def fetched(numbers: Sequence[Tensor]) -> list[float]:
    """Fetch single numbers, () each, of one device or several: one wait for all of them.

    Returns:
        The numbers; float64 holds every float32, whole number below 2^53 and flag exactly.
    """
    if not numbers:
        return []
    device = numbers[0].device
    found: list[float] = torch.stack([x.detach().double().to(device) for x in numbers]).tolist()
    return found
