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
from typing import Any

import torch
from torch import Tensor, nn

from goldenlayers.passes.batches import Batch
from goldenlayers.passes.factor_pass import factor_pass

OLD, CROSS, NEW = 0, 1, 2


@dataclass(frozen=True)
class GradientDots:
    """What the pass gives for B facts and L layers.

    Attributes:
        products: (3, L, B) float64: <G_old, G_old>, <G_old, G_new>, <G_new, G_new>, summed over the
            linear maps of the layer.
        losses: (2, B) float64: mean negative log-likelihood of the old and of the new answer, nats.
        reached: (L,) bool, on the CPU: whether the backward pass came through the layer.
    """

    products: Tensor
    losses: Tensor
    reached: Tensor


def gradient_dots(model: Any, layers: Sequence[Sequence[nn.Module]], batch: Batch) -> GradientDots:
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
    B = len(batch.input_ids) // 2
    device = batch.input_ids.device
    products = torch.zeros(3, len(layers), B, dtype=torch.float64, device=device)
    reached = torch.zeros(len(layers), dtype=torch.bool)

    def meet(layer: int, inputs: Tensor, grad: Tensor) -> None:
        # (3, B, T, T) both
        product = (inputs * grams(grad)).sum(dim=(-2, -1), dtype=torch.float64)  # (3, B)
        products[:, layer] += product.to(device)
        reached[layer] = True

    losses = factor_pass(model, layers, batch, grams, meet)  # (2B,)
    return GradientDots(products, losses.double().reshape(2, -1), reached)


def grams(x: Tensor) -> Tensor:
    """Products of old and new rows, (2B, T, d) -> (3, B, T, T): old.old, old.new, new.new.

    Half precision is raised to float32 first. Padding contributes nothing: no loss depends on it,
    so its output gradients are zero.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    old, new = x.chunk(2)  # (B, T, d) each
    new_t = new.transpose(1, 2)
    return torch.stack([old @ old.transpose(1, 2), old @ new_t, new @ new_t])
