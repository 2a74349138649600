"""Sweeps with the other editors: side by side as the plain loop, or by it; single layers."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.editors.alphaedit import AlphaEdit
from goldenlayers.editors.fine_tuning import FTL, FTM
from goldenlayers.editors.lora import LoRA
from goldenlayers.editors.memit import EMMET, MEMIT
from goldenlayers.models.content import content_hash
from goldenlayers.models.sites import find_sites
from goldenlayers.sweep.engine import Sweep
from tests import tiny
from tests.sweep.test_engine import FACTS, TEMPLATES, VALUE


def moment(site):
    generator = torch.Generator().manual_seed(site.layer)
    scales = torch.logspace(-2, 0.5, site.d_in, dtype=torch.float64)
    keys = torch.randn(4 * site.d_in, site.d_in, generator=generator, dtype=torch.float64) * scales
    return KeyMoment(site.layer, site.name, keys.T @ keys, len(keys))


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
@pytest.mark.parametrize(
    "editor",
    [
        MEMIT(**VALUE, lam=0.1, window=1),
        EMMET(**VALUE, lam=0.0),
        AlphaEdit(**VALUE, threshold=2.0, l2=0.1, window=1),
    ],
    ids=lambda e: e.name,
)
def test_batch_editors_one_fact_and_layer_at_a_time(name, editor):
    model = tiny.model(name)
    sites = find_sites(model)
    solvers = {s.layer: editor.solver(moment(s)) for s in sites}
    before = content_hash(model)
    found, expected = (
        Sweep(model, tiny.tokenizer(name), sites, editor, TEMPLATES, solvers, plain=plain).run(
            FACTS
        )
        for plain in (False, True)
    )
    assert content_hash(model) == before
    assert [(o.fact, o.layer) for o in found] == [(o.fact, o.layer) for o in expected]
    for ours, plain in zip(found, expected, strict=True):
        assert (ours.computed, plain.computed) == ("growing batch", "plain loop")
        assert ours.status == plain.status
        assert ours.update_norm == pytest.approx(plain.update_norm, abs=1e-8)
        assert ours.scores == pytest.approx(plain.scores, abs=1e-8)
    assert any(o.scores["nll_new"] < o.nll_before - 0.1 for o in found)


@pytest.mark.parametrize(
    "editor", [FTL(steps=3), FTM(steps=3), LoRA(steps=3)], ids=lambda e: e.name
)
def test_editors_that_train_the_weight_take_the_plain_loop(editor):
    model = tiny.model("llama", torch.float32)
    before = content_hash(model)
    sweep = Sweep(model, tiny.tokenizer("llama"), find_sites(model), editor, TEMPLATES)
    found = sweep.run(FACTS, [0, 2])
    assert content_hash(model) == before
    assert [(o.fact, o.layer) for o in found] == [(f.id, n) for f in FACTS for n in (0, 2)]
    assert all(o.computed.startswith("plain loop: ") for o in found)
    assert all(o.nll_after < o.nll_before for o in found)
    assert all(o.update_norm > 0 for o in found)
