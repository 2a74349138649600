"""The rank-one update of one fact at one site, from its key, its output and its trained value."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from goldenlayers.editors.protocol import Solver
from goldenlayers.editors.update import Update
from goldenlayers.editors.value import Value
from goldenlayers.errors import EditError


@dataclass(frozen=True)
class Solution:
    """What was found for one fact at one site.

    Attributes:
        update: What is added to the weight; None where there is none.
        value: How the value was trained; None where an error stood in the way.
        details: For the outcome.
        error: What stood in the way.
    """

    update: Update | None
    value: Value | None
    details: dict[str, object]
    error: str = ""


def rank_one(
    keys: Tensor, outputs: Tensor, v_star: Tensor, solver: Solver | None, *, averaged: bool
) -> tuple[Tensor, Tensor]:
    """Return the factors of the update: left (d_out,), right (d_in,).

    Args:
        keys: (templates, d_in) inputs of the site at the subject's last token, bare prompt first.
        outputs: (templates, d_out) its outputs there, bias included.
        v_star: (d_out,) what the site shall write.
        solver: Of the keys' covariance; None leaves it out.
        averaged: R-ROME (True) or ROME (False).

    Raises:
        EditError: If the value is not finite, or u . k is so small that the update has no bound.
    """
    if not torch.isfinite(v_star).all():
        raise EditError("the trained value is not finite; try a lower lr")
    mean = keys.mean(0)
    u = mean if solver is None else solver.solve(mean).to(mean)
    u = u / u.norm()
    k, o = (mean, outputs.mean(0)) if averaged else (keys[0], outputs[0])
    product = u @ k
    left = (v_star - o) / product
    if not torch.isfinite(left).all() or product.abs() < 1e-6 * k.norm():
        raise EditError(
            f"the edit direction is at right angles to the key (u . k = {float(product):.1e}, "
            f"|k| = {float(k.norm()):.1e}); try other templates, another layer, or r-rome"
        )
    return left, u
