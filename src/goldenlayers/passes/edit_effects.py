"""What one edit would do elsewhere, to first order, at every layer from one pass.

R-ROME writes at one layer v0 + delta for the key k of a fact's subject: dW = delta k^T / (k . k).
Take delta along the steepest descent of the new answer's loss, g being that loss's gradient at the
edit site's output at the subject's last token, and as long as lowers the loss by one nat there:
delta = -g / |g|^2. To first order the loss of any other row of text then falls by

    transfer = <G_row, -dW> = sum_t (d_t . g) (a_t . k) / (k . k) / (g . g)

where a_t and d_t are the site's inputs and output gradients of that row, G_row = sum_t d_t a_t^T.
Of a rephrasing with the new answer it should be near 1; of a row that must stay as it is near 0.
All factors stand in one forward and one activation-only backward pass, as for
`goldenlayers.passes.dots`; no weight gradient is formed, and nothing is edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from goldenlayers.models.sites import EditSite
from goldenlayers.passes.batches import Batch
from goldenlayers.passes.factor_pass import factor_pass
from goldenlayers.passes.families import by_row


@dataclass(frozen=True)
class Anchors:
    """Which row of a batch is edited, for each of its rows.

    Attributes:
        rows: (R,) int64, the row with the new answer of the fact that a row belongs to.
        columns: (R,) int64, where in that row the subject's last token stands.
    """

    rows: Tensor
    columns: Tensor


@dataclass(frozen=True)
class EditEffects:
    """What the pass gives for R rows and L layers; NaN where no gradient arrives.

    Attributes:
        transfer: (L, R) float64, see the module; of the edited row itself 1 and more, as its later
            positions move too.
        bound: (L, R) float64, the same with every product replaced by its greatest possible size,
            sum_t |d_t| |a_t . k| / (k . k) / |g|: how much the row could be moved at all.
        at_subject: (L, R) float64, transfer's share from the subject's last token alone, of a row
            with the same prompt: d . g / (g . g), what the value itself does to another answer.
        overlap: (L, R) float64, the largest cosine between k and any of the row's a_t.
        need: (L, R) float64, length of the delta that would cost the whole loss of the new answer
            to first order, loss / |g|, in norms of the site's output.
        losses: (R,) float64, mean negative log-likelihood of each row's answer, nats.
    """

    transfer: Tensor
    bound: Tensor
    at_subject: Tensor
    overlap: Tensor
    need: Tensor
    losses: Tensor


def edit_effects(
    model: Any, sites: Sequence[EditSite], batch: Batch, anchors: Anchors
) -> EditEffects:
    """Predict the effects of one edit per fact, each made alone at each layer.

    Args:
        model: A causal language model whose parameters do not require gradients (`untouched`).
        sites: The edit sites.
        batch: Rows of some facts: each with the new answer, and whatever else may be moved.
        anchors: Which of them are edited, and where.

    Raises:
        ModelError: If an edit site runs twice in one pass.
    """
    R, device = len(batch.input_ids), batch.input_ids.device
    modules = [model.get_submodule(site.name) for site in sites]
    found = torch.full((4, len(sites), R), float("nan"), dtype=torch.float64, device=device)
    sizes = torch.full((2, len(sites), R), float("nan"), dtype=torch.float64, device=device)
    rows, columns = anchors.rows, anchors.columns
    # an answer's last token is predicted from the last one fed; behind it is padding
    ends = torch.zeros(R, dtype=torch.int64, device=device)
    ends = ends.scatter_reduce(0, batch.rows, batch.columns, "amax")
    padding = torch.arange(batch.input_ids.shape[1], device=device) > ends[:, None]  # (R, T)

    def note_output(layer: int, module: Any, args: Any, output: Tensor) -> None:
        at = by_row(output.detach(), R)[rows.to(output.device), columns.to(output.device)]
        sizes[0, layer] = _wide(at).norm(dim=-1).to(device)  # (R,)

    def meet(layer: int, inputs: Tensor, grad: Tensor) -> None:
        a, d = _wide(inputs), _wide(grad)  # (R, T, d_in), (R, T, d_out)
        here = rows.to(a.device), columns.to(a.device)
        k, g = a[here], d[here]  # (R, d_in), (R, d_out)
        kk, gg = k.square().sum(-1, keepdim=True), g.square().sum(-1)  # (R, 1), (R,)
        products = torch.einsum("rti,ri->rt", a, k)  # (R, T)
        shares = products / kk
        along = torch.einsum("rto,ro->rt", d, g)  # (R, T)
        cosines = products / (a.norm(dim=-1) * kk.sqrt())
        found[0, layer] = ((shares * along).sum(-1) / gg).to(device)
        found[1, layer] = ((shares.abs() * d.norm(dim=-1)).sum(-1) / gg.sqrt()).to(device)
        own = along[torch.arange(R, device=a.device), here[1]]  # (R,)
        found[2, layer] = (own / gg).to(device)
        cosines = cosines.masked_fill(padding.to(a.device), -1.0)
        found[3, layer] = cosines.amax(-1).to(device)
        sizes[1, layer] = gg.sqrt().to(device)

    with ExitStack() as stack:
        for i, module in enumerate(modules):
            handle = module.register_forward_hook(partial(note_output, i))
            stack.callback(handle.remove)
        losses = factor_pass(model, [[m] for m in modules], batch, lambda x: x, meet).double()
    # not by a boolean index: counting what it picks would wait for the device
    none = ~(sizes[1] > 0)  # (L, R)
    found.masked_fill_(none, float("nan"))
    need = losses[rows.to(losses.device)].to(device) / sizes[1] / sizes[0]  # (L, R)
    need.masked_fill_(none, float("nan"))
    transfer, bound, at_subject, overlap = found
    return EditEffects(transfer, bound, at_subject, overlap, need, losses)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
