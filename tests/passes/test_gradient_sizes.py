"""Sizes of the new answer's gradients against autograd's own gradients."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.models.text import encode_pairs
from goldenlayers.passes.batches import row_batches
from goldenlayers.passes.gradient_sizes import gradient_sizes
from tests import tiny

ROUNDED = dict.fromkeys(tiny.FLOAT32_INSIDE, 1e-5)


def explicit(model, site, row):
    """Autograd's gradient of one fact's loss at one site."""
    weight = model.get_submodule(site.name).weight
    weight.requires_grad_(True)
    try:
        ids = torch.tensor([row.ids])
        logits = model(input_ids=ids, use_cache=False).logits[0, row.n_prompt - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(row.answer))
        (gradient,) = torch.autograd.grad(loss, weight)
    finally:
        weight.requires_grad_(False)
    return gradient, loss.item()


@pytest.mark.parametrize("name", tiny.MODELS)
def test_norm_and_mean_absolute_value_are_those_of_the_real_gradient(name):
    tolerance = ROUNDED.get(name, 1e-9)
    model, tokenizer = tiny.model(name, torch.float64), tiny.tokenizer(name)
    model.requires_grad_(False)
    sites = find_sites(model)
    rows = encode_pairs(tokenizer, [(f.prompt, f.target_new) for f in tiny.FACTS])
    linears = [model.get_submodule(s.name) for s in sites]
    seen = set()
    with untouched(model):
        for batch in row_batches(rows, max_tokens=60):
            found = gradient_sizes(model, linears, batch)
            assert found.reached.all()
            for b, i in enumerate(batch.index):
                seen.add(i)
                for j, site in enumerate(sites):
                    gradient, loss = explicit(model, site, rows[i])
                    assert found.norms[j, b].item() == pytest.approx(
                        gradient.norm().item(), rel=tolerance
                    )
                    assert found.mean_abs[j, b].item() == pytest.approx(
                        gradient.abs().mean().item(), rel=tolerance
                    )
                assert found.losses[b].item() == pytest.approx(loss, rel=tolerance)
    assert seen == set(range(len(rows)))
    assert len(row_batches(rows, max_tokens=60)) > 1
