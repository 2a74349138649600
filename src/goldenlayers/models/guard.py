"""A model that is lent to us goes back exactly as it came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

PACKS = "support_avx512bf16_for_cpu"  # of bitsandbytes.nn.Linear4bit


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Freeze `model` in evaluation mode, and restore it on leaving, also after an exception.

    Restored are the training flag of every module (they may differ between modules), the
    requires_grad flag of every parameter, and every buffer that a forward pass replaced by another
    tensor (rotary tables that grow with the length do so). Weights and `.grad` are never written:
    a frozen parameter accumulates nothing. Hooks are the business of whoever adds them.

    bitsandbytes would write 4-bit weights: on processors with AVX512-BF16 the first forward pass
    packs them in place for a faster kernel, which no gradient passes through (and which fails
    where rows are shorter than a block). Until the model goes back, it is told not to.
    """
    modules = list(model.modules())
    training = [m.training for m in modules]
    buffers = [dict(m._buffers) for m in modules]
    parameters = list(model.parameters())
    requires_grad = [p.requires_grad for p in parameters]
    packing = [m for m in modules if vars(m).get(PACKS)]
    try:
        model.eval()
        for p in parameters:
            if p.requires_grad:
                p.requires_grad_(False)
        for m in packing:
            setattr(m, PACKS, False)
        yield
    finally:
        for m in packing:
            setattr(m, PACKS, True)
        for p, flag in zip(parameters, requires_grad, strict=True):
            if p.requires_grad is not flag:
                p.requires_grad_(flag)
        for m, flag, kept in zip(modules, training, buffers, strict=True):
            m.training = flag
            for name, buffer in kept.items():
                if m._buffers.get(name) is not buffer:
                    m._buffers[name] = buffer
