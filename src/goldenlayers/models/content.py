"""Which weights a model holds right now, as one hash."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from goldenlayers.errors import ModelError

CHUNK = 1 << 24  # elements brought to the CPU at a time


def content_hash(model: Any) -> str:
    """Return the SHA-256 of a model's weights as they are now, in hexadecimal.

    Names, dtypes, shapes and bytes of everything in the state dictionary have a say, so a model
    with one changed weight is another model; file names, devices and memory layout have none. Takes
    about a second per GB and processor core.

    Args:
        model: A model with all of its weights in memory.

    Raises:
        ModelError: If a weight is on the meta device (not loaded, or offloaded to disk).
    """
    state = model.state_dict()
    parts: dict[tuple[Any, ...], Tensor] = {}
    for name, value in state.items():
        if isinstance(value, Tensor):
            if value.device.type == "meta":
                raise ModelError(
                    f"{name!r} has no numbers (it is on the meta device: not loaded, or offloaded "
                    "to disk), so the model cannot be told from others; load it whole"
                )
            parts.setdefault(_place(value), value)  # tied weights are read once
    # hashlib lets other threads run while it works
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        digests = dict(zip(parts, pool.map(_digest, parts.values()), strict=True))
    whole = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        tensor = isinstance(value, Tensor)
        content = digests[_place(value)] if tensor else hashlib.sha256(str(value).encode()).digest()
        whole.update(f"{len(name)}:{name}".encode())
        whole.update(content)
    return whole.hexdigest()


def _place(tensor: Tensor) -> tuple[Any, ...]:
    """Return what two names of one stored tensor have in common."""
    return (
        tensor.device,
        tensor.data_ptr(),
        tensor.dtype,
        tuple(tensor.shape),
        tuple(tensor.stride()),
        # tensors without storage share the address 0
        None if tensor.data_ptr() else id(tensor),
    )


def _digest(tensor: Tensor) -> bytes:
    digest = hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    flat = tensor.detach().reshape(-1)
    for start in range(0, len(flat), CHUNK):
        piece = flat[start : start + CHUNK].cpu().contiguous()
        digest.update(piece.view(torch.uint8).numpy().data)
    return digest.digest()
