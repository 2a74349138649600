"""First-order effects of edits from one pass, against explicit weight gradients and real edits."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.models.subject import subject_rows
from goldenlayers.models.text import encode_pairs
from goldenlayers.passes.batches import one_batch
from goldenlayers.passes.edit_effects import Anchors, edit_effects
from tests import reference, tiny


def prepared(name):
    """Three facts, of each the new answer, two other rows and the old answer, in one batch."""
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    rows, owners, columns = [], [], []
    for fact in tiny.FACTS[:3]:
        (new,) = subject_rows(tokenizer, [""], fact.prompt, fact.subject, fact.target_new)
        others = encode_pairs(
            tokenizer,
            [
                (f"They say that {fact.prompt}", fact.target_new),
                (tiny.FACTS[4].prompt, "violin"),
                (fact.prompt, fact.target_old),
            ],
        )
        owners += [len(rows)] * 4
        columns += [new.subject] * 4
        rows += [new, *others]
    anchors = Anchors(torch.tensor(owners), torch.tensor(columns))
    return model, rows, anchors


def seen_at(model, row, name, column):
    """The site's input and output at one token of a row, and the loss's gradient at the output."""
    kept = {}

    def hook(module, args, output):
        kept["in"], kept["out"] = args[0].detach(), output.detach().requires_grad_()
        return kept["out"].clone()  # some blocks add to it in place

    handle = model.get_submodule(name).register_forward_hook(hook)
    try:
        (grad,) = torch.autograd.grad(reference.mean_nll(model, row), kept["out"])
    finally:
        handle.remove()

    def at(x):
        return x.detach().reshape(-1, x.shape[-1])[column]

    return at(kept["in"]), at(kept["out"]), at(grad)


@pytest.mark.parametrize("name", tiny.MODELS)
def test_equals_explicit_gradients(name):
    model, rows, anchors = prepared(name)
    owners, columns = anchors.rows.tolist(), anchors.columns.tolist()
    sites = find_sites(model)
    with untouched(model):
        found = edit_effects(model, sites, one_batch(rows), anchors)
    tolerance = 1e-6 if name in tiny.FLOAT32_INSIDE else 1e-9
    reached = 0
    for s, site in enumerate(sites):
        for i in range(len(rows)):
            own = rows[owners[i]]
            with untouched(model), torch.enable_grad():
                k, v0, g = seen_at(model, own, site.name, columns[i])
                if not g.any():
                    assert torch.isnan(found.transfer[s, i])
                    assert torch.isnan(found.need[s, i])
                    continue
                (gradient,) = reference.weight_gradients(model, rows[i], [site.name])
            reached += 1
            if i % 4 in (0, 3):  # the same prompt
                with untouched(model), torch.enable_grad():
                    _, _, d = seen_at(model, rows[i], site.name, columns[i])
                assert abs(found.at_subject[s, i] - (d @ g) / (g @ g)) <= tolerance * (
                    d.norm() / g.norm()
                )
            gradient = gradient.T if site.transposed else gradient  # (d_out, d_in)
            change = -torch.outer(g, k) / (k @ k) / (g @ g)
            expected = -(gradient * change).sum()
            scale = gradient.norm() * change.norm()
            assert abs(found.transfer[s, i] - expected) <= tolerance * scale
            assert found.bound[s, i] >= abs(expected) - tolerance * scale
            need = reference.mean_nll(model, own).detach() / g.norm() / v0.norm()
            assert found.need[s, i] == pytest.approx(float(need), rel=1e-6)
    assert reached > len(rows)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
def test_predicts_what_a_small_edit_does(name):
    """The loss of each row, with a tiny part of the edit made, by the plain whole model."""
    model, rows, anchors = prepared(name)
    owners, columns = anchors.rows.tolist(), anchors.columns.tolist()
    site = find_sites(model)[0]
    with untouched(model):
        found = edit_effects(model, [site], one_batch(rows), anchors)
    weight = model.get_submodule(site.name).weight
    before = weight.detach().clone()
    part, compared = 1e-3, 0
    for i in range(len(rows)):
        with untouched(model), torch.enable_grad():
            k, _, g = seen_at(model, rows[owners[i]], site.name, columns[i])
        if not g.any():  # beyond a sliding window
            continue
        change = torch.outer(g, k) / (k @ k) / (g @ g)
        losses = []
        with torch.no_grad():
            for sign in (part, -part):
                weight += sign * (change.T if site.transposed else change)
                losses.append(float(reference.mean_nll(model, rows[i])))
                weight.copy_(before)
        slope = (losses[0] - losses[1]) / (2 * part)
        assert float(found.transfer[0, i]) == pytest.approx(slope, abs=2e-3)
        compared += 1
    assert compared >= 6


def test_the_edited_row_itself():
    model, rows, anchors = prepared("llama")
    sites = find_sites(model)
    with untouched(model):
        found = edit_effects(model, sites, one_batch(rows), anchors)
    own = anchors.rows.unique()
    # at the last layer nothing reads the subject's last token
    assert torch.isnan(found.overlap[-1]).all()
    ones = torch.ones(len(sites) - 1, len(own), dtype=torch.float64)
    assert torch.allclose(found.overlap[:-1, own], ones, atol=1e-6)


def test_a_row_can_be_asked_for_something_else_than_it_is_fed():
    """What must stay is what the model says itself."""
    model, rows, anchors = prepared("llama")
    labels = [[7] * len(row.answer) for row in rows]
    with untouched(model):
        found = edit_effects(model, find_sites(model), one_batch(rows, labels), anchors)
    with torch.no_grad():
        for i, row in enumerate(rows):
            logits = model(input_ids=torch.tensor([row.ids])).logits[0].double()
            logp = logits.log_softmax(-1)[row.n_prompt - 1 : len(row.ids) - 1, 7]
            assert float(found.losses[i]) == pytest.approx(-float(logp.mean()), rel=1e-6)
