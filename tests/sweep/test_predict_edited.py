"""Predictions with many edits on at once, against each edit in the weights of the whole model."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.editors.update import Update
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.models.text import encode_pairs
from goldenlayers.sweep import predict_edited as module
from goldenlayers.sweep.predict_edited import predict_edited, predict_plainly
from tests import tiny

ROUNDED = dict.fromkeys(tiny.FLOAT32_INSIDE, 1e-5)


def random_update(site):
    left, right = 0.5 * torch.randn(site.d_out, 1), torch.randn(site.d_in, 1)
    return Update(site.layer, site.name, site.transposed, left, right)


def prepared(name, dtype=torch.float64):
    model = tiny.model(name, dtype)
    sites = find_sites(model)
    tokenizer = tiny.tokenizer(name)
    facts = []
    for fact in (tiny.FACTS[0], tiny.FACTS[6], tiny.LAST_TOKEN[0]):
        pairs = [(fact.prompt, fact.target_new), (fact.prompt, fact.target_old)]
        facts.append(encode_pairs(tokenizer, [*pairs, (f"In short, {fact.prompt}", "mark")]))
    torch.manual_seed(5)
    updates = {
        (f, s): (random_update(site),)
        for f in range(3) for s, site in enumerate(sites) if (f, s) != (1, 2)
    }  # fmt: skip
    return model, sites, facts, updates


@pytest.mark.parametrize("max_tokens", [10_000, 50, 1])
@pytest.mark.parametrize("name", tiny.MODELS)
def test_side_by_side_equals_one_edit_at_a_time(name, max_tokens):
    if max_tokens == 1 and name not in ("gpt2", "llama", "gemma3_text", "bloom"):
        max_tokens = 200
    tolerance = ROUNDED.get(name, 1e-9)
    model, sites, facts, updates = prepared(name)
    before = {n: p.clone() for n, p in model.named_parameters()}
    with untouched(model):
        found = predict_edited(model, sites, facts, updates, max_tokens=max_tokens)
        expected = predict_plainly(model, facts, updates)
    assert found.keys() == expected.keys() == updates.keys()
    moved = 0
    for unit, wanted in expected.items():
        for a, b in zip(found[unit], wanted, strict=True):
            assert a.argmax == b.argmax
            assert a.log_probs == pytest.approx(b.log_probs, abs=tolerance)
            moved += 1
    assert moved == 3 * len(updates)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert len({p.log_probs for predictions in expected.values() for p in predictions}) > 30


@pytest.mark.parametrize("max_tokens", [10_000, 50])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text", "bloom"])
def test_edits_of_several_layers_side_by_side(name, max_tokens):
    model, sites, facts, _ = prepared(name)
    spans = [(0, 1), (2, 4), (0, 3), (1, 2), (0, 1)]  # in no order, two of them alike
    updates = {
        (f, e): tuple(random_update(site) for site in sites[slice(*spans[e])])
        for f in range(3)
        for e in range(len(spans))
    }
    with untouched(model):
        found = predict_edited(model, sites[:3], facts, updates, max_tokens=max_tokens)
        expected = predict_plainly(model, facts, updates)
    for unit, wanted in expected.items():
        for a, b in zip(found[unit], wanted, strict=True):
            assert a.argmax == b.argmax
            assert a.log_probs == pytest.approx(b.log_probs, abs=ROUNDED.get(name, 1e-9))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_the_edited_weight_is_rounded_as_in_the_model(dtype):
    model, sites, facts, updates = prepared("llama", dtype)
    small = {
        unit: (Update(u.layer, u.name, u.transposed, 1e-3 * u.left, u.right),)
        for unit, (u,) in updates.items()
    }
    with untouched(model):
        found = predict_edited(model, sites, facts, small, max_tokens=10_000)
        expected = predict_plainly(model, facts, small)
    for unit, wanted in expected.items():
        for a, b in zip(found[unit], wanted, strict=True):
            assert a.log_probs == pytest.approx(b.log_probs, abs=0.1)


def test_a_batch_that_is_not_the_plain_model_is_refused(monkeypatch):
    model, sites, facts, updates = prepared("llama")

    class Off(module.Replay):
        def logits(self, groups):
            return [logits * 1.01 for logits in super().logits(groups)]

    monkeypatch.setattr(module, "Replay", Off)
    with untouched(model), pytest.raises(module.MismatchError, match="logits differ"):
        predict_edited(model, sites, facts, updates, max_tokens=1000)
