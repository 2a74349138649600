"""The residual stream around an edit site: what a block hands on, and whether a site adds to it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goldenlayers.models.sites import EditSite
from goldenlayers.passes.families import by_row, like

TOKENS = (1, 2, 3)  # any will do
TOLERANCE = 0.02  # of what is added
ROUNDINGS = 8  # units in the last place of the stream


@torch.no_grad()
def adds_to_stream(model: Any, site: EditSite) -> bool:
    """Whether what is added to a site's output is added to its block's output, no more, no less.

    It is not where a norm stands behind the MLP (Gemma-2 and -3, OLMo-2), or a factor. Found out by
    doing it, so that no family needs to be named.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        site: The edit site.
    """
    ids = torch.tensor([TOKENS], device=model.device)  # (1, T)
    seen: list[Tensor] = []
    added: list[Tensor] = []

    def double(module: Any, args: Any, output: Any) -> Any:
        out = by_row(output, 1)  # (1, T, d)
        added.append(out.clone())
        return like(2 * out, output)

    def leave(module: Any, args: Any, output: Any) -> None:
        seen.append(by_row(output, 1).clone())  # (1, T, d)

    at_exit = model.get_submodule(site.block).register_forward_hook(leave)
    try:
        model(input_ids=ids, use_cache=False)
        at_site = model.get_submodule(site.name).register_forward_hook(double)
        try:
            model(input_ids=ids, use_cache=False)
        finally:
            at_site.remove()
    finally:
        at_exit.remove()
    clean, changed = (x.double() for x in seen)
    size = float(added[0].double().abs().max())
    rounding = ROUNDINGS * torch.finfo(seen[0].dtype).eps * float(changed.abs().max())
    error = float((changed - clean - added[0].double()).abs().max())
    # a change that is lost in rounding would say nothing
    return size > rounding and error <= TOLERANCE * size + rounding
