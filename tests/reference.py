"""Slow, obvious references: whole-model autograd, one fact and one answer at a time."""

from __future__ import annotations

import torch

from goldenlayers.models.text import Row


def mean_nll(model, row: Row) -> torch.Tensor:
    """Mean negative log-likelihood of the answer, nats; the whole row is fed, alone, unpadded."""
    ids = torch.tensor([row.ids])
    logits = model(input_ids=ids, use_cache=False).logits[0]  # (T, V)
    wide = torch.promote_types(logits.dtype, torch.float32)
    logp = torch.log_softmax(logits.to(wide), dim=-1)
    picked = [logp[t - 1, row.ids[t]] for t in range(row.n_prompt, len(row.ids))]
    return -torch.stack(picked).mean()


def weight_gradients(model, row: Row, names: list[str]) -> list[torch.Tensor]:
    """Explicit gradients of `mean_nll` for the named modules' weights."""
    modules = dict(model.named_modules())
    weights = [modules[n].weight for n in names]
    for w in weights:
        w.requires_grad_(True)
    return list(torch.autograd.grad(mean_nll(model, row), weights))


def inner_products(model, old: Row, new: Row, layers: list[list[str]]) -> torch.Tensor:
    """<old, old>, <old, new>, <new, new> by layer, (3, L) float64."""
    out = torch.zeros(3, len(layers), dtype=torch.float64)
    for j, names in enumerate(layers):
        g_old, g_new = weight_gradients(model, old, names), weight_gradients(model, new, names)
        for o, n in zip(g_old, g_new, strict=True):
            o, n = o.double(), n.double()
            out[:, j] += torch.stack([(o * o).sum(), (o * n).sum(), (n * n).sum()])
    return out
