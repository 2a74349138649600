"""A model whose memory does not bear more than so many tokens at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

CPU = "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: 9 bytes"
CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
ERRORS = {
    "gpu": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB."),
    "cpu": lambda: RuntimeError(CPU),
    "cublas": lambda: RuntimeError(CUBLAS),
    "python": MemoryError,
}


@contextmanager
def short(model: Any, most: int, kind: str = "gpu", at: str | None = None) -> Iterator[list[int]]:
    """While open, a pass of `model` over more than `most` tokens fails; yields those that did not.

    Args:
        model: The model.
        most: Tokens, padding counted.
        kind: Which error, one of `ERRORS`.
        at: Name of the module at which memory runs out; None for the beginning of the pass.
    """
    fine: list[int] = []
    size = [0]

    def count(module, args, kwargs):
        ids = kwargs.get("input_ids")
        size[0] = ids.numel()
        if at is None:
            check()

    def check(*args):
        if size[0] > most:
            raise ERRORS[kind]()
        fine.append(size[0])

    handles = [model.register_forward_pre_hook(count, with_kwargs=True)]
    if at is not None:
        handles.append(model.get_submodule(at).register_forward_pre_hook(check))
    try:
        yield fine
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def short_backward(most: int) -> Iterator[None]:
    """While open, a backward pass to more than `most` leaves fails."""
    real = torch.autograd.grad

    def grad(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if len(inputs) > most:
            raise ERRORS["gpu"]()
        return real(outputs, inputs, *args, **kwargs)

    torch.autograd.grad = grad
    try:
        yield
    finally:
        torch.autograd.grad = real
