"""Attribution patching: what restoring would do, to first order, at all layers from one pass.

    p(restored) - p(corrupted)  ~  sum over restored modules m of  <clean_m - corrupted_m, dp/dm>

with the gradients of the corrupted runs. One forward and one backward pass over the clean row and
the corrupted ones serve every layer; the method is Nanda's, "Attribution Patching", 2023, and
Syed et al.'s, arXiv 2310.10348.

In a window of several modules, what one of them does by way of another is counted for both. The sum
is exact to first order for one module alone; for a window it is rougher than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.families import by_row, like
from goldenlayers.passes.restoring import (
    Restorable,
    Restoration,
    TracedRow,
    corrupted,
)
from goldenlayers.passes.tracing import Floats


@dataclass(frozen=True)
class Attribution:
    """What restoring would do to the probability of the answer's first token, to first order.

    Attributes:
        clean: The probability in the clean run.
        corrupted: (draws,) float64, in the corrupted runs.
        effects: (restorations, draws) float64, the approximate change.
        tokens: Tokens that went through the model, forward and backward.
    """

    clean: float
    corrupted: Floats
    effects: Floats
    tokens: int


def attribute(
    model: Any,
    row: TracedRow,
    noise: Tensor,
    wanted: Sequence[Restoration],
    places: Restorable,
) -> Attribution:
    """Approximate all restorations of one fact.

    Args:
        model: A causal language model whose parameters do not require gradients (`untouched`).
        row: The prompt, its subject and the answer's first token.
        noise: (draws, s, d) noise on the embeddings of the subject's s tokens.
        wanted: What would be put back.
        places: Where, see `goldenlayers.passes.restoring.find_restorable`.
    """
    rows, T = 1 + len(noise), len(row.ids)
    outputs: dict[str, Tensor] = {}  # (1 + draws, T, d) each
    gradients: dict[str, Tensor] = {}  # the same; none where the answer does not depend on it
    anchors: list[Tensor] = []

    def after_forward(name: str, module: nn.Module, args: Any, output: Any) -> Any:
        raw = output[0] if isinstance(output, tuple) else output
        outputs[name] = by_row(raw, rows).detach().clone()
        if not raw.requires_grad:
            # All weights are frozen: the graph begins here, at the first module that is asked for.
            # The clone lets in-place additions pass (Falcon's).
            anchors.append(raw.detach().requires_grad_())
            raw = anchors[-1].clone()
        raw.register_hook(partial(after_backward, name))
        return like(raw, output) if isinstance(output, tuple) else raw

    def after_backward(name: str, gradient: Tensor) -> None:
        gradients[name] = by_row(gradient, rows)

    ids = torch.tensor([row.ids] * rows, device=model.device)  # (1 + draws, T)
    at = torch.arange(rows, device=model.device), torch.full_like(ids[:, 0], T - 1)
    names = [list(places.names(r.kind, r.layer).values()) for r in wanted]
    with ExitStack() as stack:
        stack.enter_context(corrupted(model, row, noise))
        for name in dict.fromkeys(n for found in names for n in found):
            handle = model.get_submodule(name).register_forward_hook(partial(after_forward, name))
            stack.callback(handle.remove)
        with torch.enable_grad(), answer_logits(model, *at) as gathered:
            logits = gathered.pick(model(input_ids=ids, use_cache=False).logits)  # (1 + draws, V)
            probability = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)
            p = probability[:, row.answer]  # (1 + draws,)
            if anchors and p.requires_grad:
                # rows do not mix, so that the sum's gradient is each row's own
                torch.autograd.grad(p[1:].sum(), anchors, allow_unused=True)
    before = p.detach().double().cpu().numpy()
    effects = np.zeros((len(wanted), rows - 1))
    shares: list[tuple[int, Tensor]] = []
    for i, (r, found) in enumerate(zip(wanted, names, strict=True)):
        if r.position < row.first:  # nothing is corrupted there
            continue
        for name in found:
            if name in gradients:
                output, gradient = (x[name][:, r.position] for x in (outputs, gradients))
                wide = torch.promote_types(output.dtype, torch.float32)
                move = output[:1].to(wide) - output[1:].to(wide)  # (draws, d)
                share = (move * gradient[1:].to(wide)).sum(-1).double()  # (draws,)
                shares.append((i, share.to(model.device)))
    if shares:  # fetched together: each fetching waits for the device
        fetched = torch.stack([share for _, share in shares]).cpu().numpy()
        for (i, _), share in zip(shares, fetched, strict=True):
            effects[i] += share
    return Attribution(float(before[0]), before[1:], effects, ids.numel())
