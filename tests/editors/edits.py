"""Edits with random factors, for tests of what happens to an edit once there is one."""

from __future__ import annotations

import torch

from goldenlayers.editors.base import base_of
from goldenlayers.editors.edit import Edit, Outcome, Step, Update
from goldenlayers.models.sites import find_sites
from tests import tiny


def random_edit(
    model: torch.nn.Module,
    layers: tuple[int, ...] = (1,),
    rank: int | dict[int, int] = 1,
    seed: int = 0,
    size: float = 0.3,
    dtype: torch.dtype = torch.float32,
) -> Edit:
    """Return an edit of the model whose dW is `size` times as large as each weight.

    The factors of a site are of very different sizes, as those of the editors are.
    """
    draw = torch.Generator().manual_seed(seed)
    sites = [find_sites(model)[layer] for layer in layers]
    updates = []
    for site in sites:
        r = rank if isinstance(rank, int) else rank[site.layer]
        left = torch.randn(site.d_out, r, generator=draw, dtype=torch.float64)
        right = torch.randn(site.d_in, r, generator=draw, dtype=torch.float64) / 37
        weight = model.get_submodule(site.name).weight.detach().double()
        scale = size * weight.norm() / (left @ right.T).norm()
        updates.append(
            Update(
                site.layer, site.name, site.transposed, (left * scale).to(dtype), right.to(dtype)
            )
        )
    facts = [tiny.FACTS[(seed + i) % len(tiny.FACTS)] for i in range(2)]
    outcomes = tuple(
        Outcome(
            fact=fact,
            layers=tuple(layers),
            status="converged",
            reason="0.040 nats a token",
            nll_before=7.25,
            nll_after=0.1 + 0.2,
            rewritten=True,
            steps=(Step(3.5, 3.0, 0.25, 0.25, 0.0), Step(0.04, 0.03, 0.005, 0.005, 2.5)),
            details={"value_norm": 1.5, "computed": "prefix reuse", "tries": [1, 2]},
        )
        for fact in facts
    )
    return Edit(
        editor="r-rome",
        updates=tuple(updates),
        outcomes=outcomes,
        settings={"lr": 0.5, "steps": 20, "covariance": None, "seed": seed},
        base=base_of(model, [site.name for site in sites]),
        versions={"golden-layers": "0", "torch": torch.__version__},
        seconds={"edit": 1.25},
    )
