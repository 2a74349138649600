"""How large the weight gradient of an answer is at every layer.

The Frobenius norm comes from the factors alone, as the inner products of
`goldenlayers.passes.dots` do:

    |G|^2 = sum_{t,u} (a_t . a_u) (d_t . d_u)

The mean absolute value of its entries, which SaLEM takes, does not: G is formed, one fact and layer
at a time, and dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from goldenlayers.passes.batches import Batch
from goldenlayers.passes.factor_pass import factor_pass


@dataclass(frozen=True)
class GradientSizes:
    """What the pass gives for B facts and L layers.

    Attributes:
        norms: (L, B) float64, |G|, Frobenius.
        mean_abs: (L, B) float64, mean of |G_ij| over the entries.
        losses: (B,) float64: mean negative log-likelihood of the answer, nats.
        reached: (L,) bool, on the CPU: whether the backward pass came through the layer.
    """

    norms: Tensor
    mean_abs: Tensor
    losses: Tensor
    reached: Tensor


def gradient_sizes(model: Any, linears: Sequence[nn.Module], batch: Batch) -> GradientSizes:
    """Measure the gradient of each row's loss at every layer.

    Args:
        model: A causal language model whose parameters do not require gradients (`untouched`).
        linears: Per layer, the linear map whose weight is meant.
        batch: One row per fact.

    Raises:
        ModelError: If a linear map runs twice in one pass.
    """
    B, device = len(batch.input_ids), batch.input_ids.device
    norms = torch.zeros(len(linears), B, dtype=torch.float64, device=device)
    mean_abs = torch.zeros_like(norms)
    reached = torch.zeros(len(linears), dtype=torch.bool)

    def meet(layer: int, inputs: Tensor, grad: Tensor) -> None:
        a, d = _wide(inputs), _wide(grad)  # (B, T, d_in), (B, T, d_out)
        square = ((a @ a.transpose(1, 2)) * (d @ d.transpose(1, 2))).sum(
            dim=(-2, -1), dtype=torch.float64
        )  # (B,)
        norms[layer] = square.clamp_min(0).sqrt().to(device)
        mean_abs[layer] = torch.stack(
            [(di.T @ ai).abs().mean(dtype=torch.float64) for ai, di in zip(a, d, strict=True)]
        ).to(device)
        reached[layer] = True

    losses = factor_pass(model, [[m] for m in linears], batch, lambda x: x, meet)
    return GradientSizes(norms, mean_abs, losses.double(), reached)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
