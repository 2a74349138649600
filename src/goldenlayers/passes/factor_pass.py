"""The factors of weight gradients at every layer, from one forward and one backward pass.

For a linear map with inputs a_t and output gradients d_t the weight gradient is
G = sum_t d_t a_t^T. What is wanted of it is taken from the two factors when the backward pass
reaches the map; the gradients of all layers never exist together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from goldenlayers.errors import ModelError
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.batches import Batch
from goldenlayers.passes.families import by_row

# What is kept of a map's inputs (R, T, d_in) until the backward pass comes.
Keep = Callable[[Tensor], Tensor]
# Called with the layer, what was kept, and the output's gradients (R, T, d_out).
Meet = Callable[[int, Tensor, Tensor], None]


def factor_pass(
    model: Any, layers: Sequence[Sequence[nn.Module]], batch: Batch, keep: Keep, meet: Meet
) -> Tensor:
    """Run a batch forward and backward, and hand over the factors at every layer.

    Args:
        model: A causal language model whose parameters do not require gradients (`untouched`).
        layers: Per layer, the linear maps whose weight gradients are meant.
        batch: The rows.
        keep: See `Keep`.
        meet: See `Meet`; it is not called for a map that the backward pass does not reach.

    Returns:
        (R,) the loss of each row: mean negative log-likelihood of its answer, nats. The gradients
        are those of their sum.

    Raises:
        ModelError: If a linear map runs twice in one pass: its gradient would have cross terms.
    """
    R = len(batch.input_ids)
    ran: set[nn.Module] = set()
    anchors: list[Tensor] = []

    def after_forward(
        layer: int, module: nn.Module, args: tuple[Any, ...], output: Tensor
    ) -> Tensor:
        if module in ran:
            raise ModelError(
                f"layer {layer}: its {type(module).__name__} runs more than once in a forward pass "
                "(shared weights or recomputation); its gradient is not a product of one run"
            )
        ran.add(module)
        kept = keep(by_row(args[0].detach(), R))  # (R, T, d_in)
        if not output.requires_grad:
            # All weights are frozen, so the graph begins here, at the first map of interest:
            # nothing below it is kept or differentiated. The clone lets in-place additions pass.
            anchors.append(output.detach().requires_grad_())
            output = anchors[-1].clone()
        output.register_hook(partial(after_backward, layer, kept))
        return output

    def after_backward(layer: int, kept: Tensor, grad: Tensor) -> None:
        meet(layer, kept, by_row(grad, R))

    extra = {"attention_mask": batch.attention_mask, "position_ids": batch.position_ids}
    extra = {name: value for name, value in extra.items() if value is not None}
    handles = [
        m.register_forward_hook(partial(after_forward, i))
        for i, ms in enumerate(layers)
        for m in ms
    ]
    try:
        with torch.enable_grad(), answer_logits(model, batch.rows, batch.columns) as gathered:
            output = model(input_ids=batch.input_ids, use_cache=False, **extra)
            logits = gathered.pick(output.logits)  # (N, V)
            losses = row_losses(logits, batch)  # (R,)
            del output, logits
            if anchors and losses.requires_grad:
                torch.autograd.grad(losses.sum(), anchors, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    return losses.detach()


def row_losses(logits: Tensor, batch: Batch) -> Tensor:
    """Mean negative log-likelihood of each row's answer, (R,), nats, in float32 or wider.

    Args:
        logits: (N, V) at the positions from which the answer tokens are predicted.
        batch: Where those positions are and which tokens are right.
    """
    wide = torch.promote_types(logits.dtype, torch.float32)
    nll = nn.functional.cross_entropy(logits.to(wide), batch.labels, reduction="none")  # (N,)
    sums = torch.zeros(len(batch.input_ids), dtype=wide, device=nll.device)
    return sums.index_add(0, batch.rows, nll * batch.weights.to(wide))
