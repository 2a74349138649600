"""How many tokens of a model fit into the memory that is free, by what the model keeps of each.

On a GPU larger batches are faster until its products are large enough, and memory is what bounds
them. On the CPU they are not, and the defaults stand. The estimate needs no probe: what a forward
pass with gradients keeps of a token is about the outputs of its linear maps, up to `KEPT` times as
much with what stands between them. Where it is wrong, `goldenlayers.passes.room` backs off.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from goldenlayers.errors import SettingsError
from goldenlayers.passes.memory import free_memory
from goldenlayers.passes.room import Room
from goldenlayers.progress import Say, quiet

KEPT = 3.0  # times the outputs of the linear maps; measured: 1.0 (GPT-NeoX) to 2.1 (GPT-2)
SHARE = 0.8  # of the free memory; the rest is for the allocator's gaps
# Above so many tokens even a large GPU gains nothing: its products are large enough.
MOST = 16_384
READ = 0.25  # share of the tokens at which logits are read, no less than answers are of short rows
LOGITS = 4  # copies of the logits in float32: raised, their softmax, and gradients of both


def require_bound(batch_tokens: int | None) -> None:
    """Refuse a bound on the tokens of a batch that is none.

    Raises:
        SettingsError: If it is not 1 or more.
    """
    if batch_tokens is not None and batch_tokens < 1:
        raise SettingsError(f"batch_tokens {batch_tokens}: expected 1 or more")


def room_for(model: Any, given: int | None, default: int, say: Say = quiet) -> Room:
    """Return the room of a pass: the bound that was given, or what memory bears.

    Args:
        model: A causal language model of transformers.
        given: What the user wants, an upper bound; None to choose.
        default: Tokens where the model lies on no GPU.
        say: Called with a line each time that the bound has to be lowered.
    """
    return Room(tokens_that_fit(model, default) if given is None else given, say)


def tokens_that_fit(model: Any, default: int) -> int:
    """Return how many tokens to run together, 1 to `MOST`; `default` on any device but a GPU."""
    devices = {p.device for p in model.parameters()}
    gpus = [device for device in devices if device.type == "cuda"]
    if not gpus:
        return default
    free = min(free_memory(device) for device in gpus)
    return max(1, min(MOST, int(SHARE * free / token_bytes(model))))


def token_bytes(model: Any) -> float:
    """Return about how many bytes a forward pass with gradients keeps of a token, weights frozen.

    All modules with a matrix are counted by the width of its output; the head where logits are
    read alone.
    """
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    itemsize = model.dtype.itemsize
    total = 0.0
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if module is head or module is table or not isinstance(weight, torch.Tensor):
            continue
        if isinstance(module, nn.Embedding) or weight.dim() != 2:
            continue
        # Conv1D keeps its matrix transposed, a quantised one has another shape: ask the module
        width: int = getattr(module, "out_features", getattr(module, "nf", weight.shape[0]))
        total += KEPT * itemsize * width
    if head is not None:
        vocabulary = float(getattr(head, "out_features", head.weight.shape[0]))
        total += READ * vocabulary * (itemsize + LOGITS * 4)
    return total
