"""Attribution patching against gradients that autograd takes of perturbations."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.errors import LocatorError, SettingsError
from goldenlayers.locators.attribution_patching import AttributionPatching
from goldenlayers.locators.find import find
from goldenlayers.models.guard import untouched
from goldenlayers.passes.attribution import attribute
from goldenlayers.passes.restoring import Restoration
from goldenlayers.passes.tracing import trace
from tests import tiny
from tests.locators.traced_facts import known
from tests.passes.test_tracing import DRAWS, ROUNDED, ROW, setting


def explicit(model, names, noise):
    """Per name (d,) at the subject's last token: outputs and dp/d(output), of one row."""
    outputs, gradients, handles = {}, {}, []
    extra = {}

    def embed(module, args, output):
        shift = torch.zeros_like(output)
        shift[0, ROW.first : ROW.last + 1] = noise
        return output + shift

    def at(name):
        def hook(module, args, output):
            out = output[0] if isinstance(output, tuple) else output
            outputs[name] = out.detach().reshape(len(ROW.ids), -1)[ROW.last].clone()
            extra[name] = torch.zeros_like(out, requires_grad=True)
            out = out + extra[name]
            return (out, *output[1:]) if isinstance(output, tuple) else out

        return hook

    handles = [model.get_input_embeddings().register_forward_hook(embed)]
    handles += [model.get_submodule(n).register_forward_hook(at(n)) for n in names]
    logits = model(input_ids=torch.tensor([ROW.ids]), use_cache=False).logits
    for handle in handles:
        handle.remove()
    p = logits[0, -1].softmax(-1)[ROW.answer]
    found = torch.autograd.grad(p, [extra[n] for n in names], allow_unused=True)
    for name, gradient in zip(names, found, strict=True):
        gradient = torch.zeros_like(extra[name]) if gradient is None else gradient
        gradients[name] = gradient.reshape(len(ROW.ids), -1)[ROW.last]
    return p.item(), outputs, gradients


@pytest.mark.parametrize("name", tiny.MODELS)
def test_effects_are_moves_along_the_gradient(name):
    tolerance = ROUNDED.get(name, 1e-8)
    model, _, places, noise = setting(name)
    wanted = [
        Restoration(kind, layer, ROW.last)
        for kind in ("mlp", "attention", "state")
        for layer in range(4)
    ]
    with untouched(model):
        found = attribute(model, ROW, noise, [*wanted, Restoration("mlp", 1, 0)], places)
        each = [list(places.names(r.kind, r.layer).values()) for r in wanted]
        names = list(dict.fromkeys(n for ns in each for n in ns))
        p, clean, _ = explicit(model, names, torch.zeros_like(noise[0]))
        assert found.clean == pytest.approx(p, rel=tolerance)
        for draw in range(DRAWS):
            p, outputs, gradients = explicit(model, names, noise[draw])
            assert found.corrupted[draw] == pytest.approx(p, rel=tolerance)
            moves = {n: ((clean[n] - outputs[n]) * gradients[n]).sum().item() for n in names}
            scale = max(map(abs, moves.values()))
            for i, ns in enumerate(each):
                expected = sum(moves[n] for n in ns)
                assert found.effects[i, draw] == pytest.approx(expected, abs=tolerance * scale)
    assert (found.effects[-1] == 0).all()  # nothing is corrupted there
    assert not any(m._forward_hooks for m in model.modules())


def test_small_noise_makes_one_module_exact():
    model, sites, places, noise = setting("gpt2", window=1)  # its norms are not rounded to float32
    wanted = [Restoration(kind, i, ROW.last) for kind in ("mlp", "state") for i in range(4)]
    with untouched(model):
        first_order = attribute(model, ROW, noise * 1e-5, wanted, places).effects
        exact = trace(model, sites, ROW, noise * 1e-5, wanted, places).effects
    assert first_order == pytest.approx(exact, rel=1e-3, abs=1e-4 * abs(exact).max())


def test_locator():
    facts = known("llama")
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    ranking = find(model, tokenizer, [*facts, tiny.FACTS[3]], AttributionPatching(draws=2))
    assert ranking.method == "attribution-patching"
    assert [s.score for s in ranking.layers] == pytest.approx(ranking.fact_scores["effect"].mean(0))
    assert ranking.fact_scores["state"].shape == (3, 4)
    assert [s.id for s in ranking.skipped] == [tiny.FACTS[3].id]
    assert ranking.skipped[0].reason.startswith("the model does not know")
    state = find(model, tokenizer, facts, AttributionPatching(kind="state", draws=2))
    assert state.fact_scores["effect"] == pytest.approx(ranking.fact_scores["state"])
    assert all(not p.requires_grad or p.grad is None for p in model.parameters())
    with pytest.raises(LocatorError, match="none of the 1 facts can be traced"):
        find(model, tokenizer, [tiny.FACTS[3]], AttributionPatching())
    with pytest.raises(SettingsError, match="kind 'x' is unknown"):
        AttributionPatching(kind="x")
