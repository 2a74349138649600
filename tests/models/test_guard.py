"""A model goes back exactly as it came, whatever happens."""

from __future__ import annotations

import pytest
import torch

import goldenlayers
from goldenlayers.models.guard import untouched
from tests import tiny


def snapshot(model):
    return {
        "weights": {n: p.detach().clone() for n, p in model.named_parameters()},
        "identity": {n: id(p) for n, p in model.named_parameters()},
        "buffers": {n: b.detach().clone() for n, b in model.named_buffers()},
        "buffer identity": {n: id(b) for n, b in model.named_buffers()},
        "requires_grad": {n: p.requires_grad for n, p in model.named_parameters()},
        "grads": {
            n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()
        },
        "training": {n: m.training for n, m in model.named_modules()},
        "hooks": {
            n: [list(h) for h in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks)]
            for n, m in model.named_modules()
        },
        "config": model.config.to_dict(),
        "rng": torch.random.get_rng_state(),
    }


def assert_same(before, after):
    for part, old in before.items():
        new = after[part]
        if isinstance(old, torch.Tensor):
            assert torch.equal(old, new), part
            continue
        assert old.keys() == new.keys(), part
        for name, value in old.items():
            same = (
                torch.equal(value, new[name])
                if isinstance(value, torch.Tensor)
                else value == new[name]
            )
            assert same, (part, name)


def in_use(name="llama"):
    """A model in the middle of somebody's training: mixed flags, gradients, hooks."""
    model = tiny.model(name, torch.float32)
    model.train()
    model.get_submodule(next(n for n, _ in model.named_modules() if n.endswith(".1"))).eval()
    for i, p in enumerate(model.parameters()):
        p.requires_grad_(i % 3 != 0)
        if i % 2 and p.requires_grad:
            p.grad = torch.full_like(p, 0.25)
    model.register_forward_hook(lambda m, a, out: None)
    return model


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text", "opt", "falcon"])
@pytest.mark.parametrize("settings", [{}, {"old_answer": "model"}, {"scope": "mlp"}])
def test_find_leaves_the_model_as_it_was(name, settings):
    model = in_use(name)
    before = snapshot(model)
    goldenlayers.find(model, tiny.tokenizer(name), tiny.FACTS, method="lga", **settings)
    assert_same(before, snapshot(model))


def test_an_error_in_the_middle_leaves_the_model_as_it_was():
    model = in_use()
    before = snapshot(model)

    def fail(stage, done, total):
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        goldenlayers.find(model, tiny.tokenizer("llama"), tiny.FACTS, method="lga", progress=fail)
    assert_same(before, snapshot(model))


def test_replaced_buffers_come_back():
    model = tiny.model("llama")
    rotary = model.model.rotary_emb
    kept = rotary.inv_freq
    with untouched(model):
        rotary.inv_freq = kept * 2  # as the rotary tables that grow with the length do
    assert rotary.inv_freq is kept


def test_find_works_inside_no_grad():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    outside = goldenlayers.find(model, tokenizer, tiny.FACTS, method="lga")
    with torch.no_grad():
        inside = goldenlayers.find(model, tokenizer, tiny.FACTS, method="lga")
    assert [s.score for s in outside.layers] == [s.score for s in inside.layers]
