"""Old-new gradient inner products at every layer, from one forward and one backward pass.

Equation: for a linear map with inputs a_t and output gradients d_t the weight gradient is
G = sum_t d_t a_t^T, hence

    <G_old, G_new> = sum_{t,u} (a_old,t . a_new,u) (d_old,t . d_new,u)

(arXiv 2602.20207 defines the score; the factored form is the one of gradient-similarity methods).
The T x T products of the inputs are formed when the map runs, those of the output gradients when
the backward pass reaches it; the factors themselves are dropped at once and no weight gradient is
ever formed. A transposed weight (Conv1D) only transposes both gradients, which leaves the inner
product as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from goldenlayers.errors import ModelError
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.batches import PairBatch

OLD, CROSS, NEW = 0, 1, 2


@dataclass(frozen=True)
class GradientDots:
    """What the pass gives for B facts and L layers.

    Attributes:
        products: (3, L, B) float64: <G_old, G_old>, <G_old, G_new>, <G_new, G_new>, summed over the
            linear maps of the layer.
        losses: (2, B) float64: mean negative log-likelihood of the old and of the new answer, nats.
        reached: (L,) bool: whether the backward pass came through the layer.
    """

    products: Tensor
    losses: Tensor
    reached: Tensor


def gradient_dots(
    model: Any, layers: Sequence[Sequence[nn.Module]], batch: PairBatch
) -> GradientDots:
    """Score every layer for every fact of a batch.

    Args:
        model: A causal language model whose parameters do not require gradients (`untouched`).
        layers: Per layer, the linear maps whose weight gradients are meant.
        batch: Old rows above new rows, (2B, T).

    Returns:
        Inner products, losses, and which layers were reached.

    Raises:
        ModelError: If a linear map runs twice in one pass: its gradient would have cross terms.
    """
    R, T = batch.input_ids.shape  # R = 2B
    device = batch.input_ids.device
    products = torch.zeros(3, len(layers), R // 2, dtype=torch.float64, device=device)
    reached = torch.zeros(len(layers), dtype=torch.bool, device=device)
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
        inputs = grams(args[0].detach().reshape(R, T, -1))  # (3, B, T, T); OPT sends (R*T, d_in)
        if not output.requires_grad:
            # All weights are frozen, so the graph begins here, at the first map of interest:
            # nothing below it is kept or differentiated. The clone lets in-place additions pass.
            anchors.append(output.detach().requires_grad_())
            output = anchors[-1].clone()
        output.register_hook(partial(after_backward, layer, inputs))
        return output

    def after_backward(layer: int, inputs: Tensor, grad: Tensor) -> None:
        outputs = grams(grad.reshape(R, T, -1))  # (3, B, T, T)
        product = (inputs * outputs).sum(dim=(-2, -1), dtype=torch.float64)  # (3, B)
        products[:, layer] += product.to(device)
        reached[layer] = True

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
            losses = row_losses(logits, batch)  # (2B,)
            del output, logits
            if anchors and losses.requires_grad:
                torch.autograd.grad(losses.sum(), anchors, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    return GradientDots(products, losses.detach().double().reshape(2, -1), reached)


def row_losses(logits: Tensor, batch: PairBatch) -> Tensor:
    """Mean negative log-likelihood of each row's answer, (2B,), nats, in float32 or wider.

    Args:
        logits: (N, V) at the positions from which the answer tokens are predicted.
        batch: Where those positions are and which tokens are right.
    """
    wide = torch.promote_types(logits.dtype, torch.float32)
    nll = nn.functional.cross_entropy(logits.to(wide), batch.labels, reduction="none")  # (N,)
    sums = torch.zeros(len(batch.input_ids), dtype=wide, device=nll.device)
    return sums.index_add(0, batch.rows, nll * batch.weights.to(wide))


def grams(x: Tensor) -> Tensor:
    """Products of old and new rows, (2B, T, d) -> (3, B, T, T): old.old, old.new, new.new.

    Half precision is raised to float32 first. Padding contributes nothing: no loss depends on it,
    so its output gradients are zero.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    old, new = x.chunk(2)  # (B, T, d) each
    new_t = new.transpose(1, 2)
    return torch.stack([old @ old.transpose(1, 2), old @ new_t, new @ new_t])
