"""LoRA against A and B trained by hand, float64."""

from __future__ import annotations

import json
import math
import sys

import pytest
import torch

from goldenlayers.editors.lora import LoRA, adapted
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.templates import Templates
from goldenlayers.errors import EditError, SettingsError
from goldenlayers.models.sites import find_sites
from tests import tiny
from tests.editors import reference_training
from tests.editors.trained import (
    NAMES,
    EnoughError,
    agree,
    comes_back,
    edit,
    goes_there_and_back,
    models,
    stop_at,
    teachable,
)

HOW = {"lr": 5e-3, "steps": 4}


def first(rank, d_in, seed=0):
    """A as the paper's code draws it."""
    bound = 1 / math.sqrt(d_in)
    draw = torch.Generator().manual_seed(seed)
    return torch.empty(rank, d_in).uniform_(-bound, bound, generator=draw).double()


@pytest.mark.parametrize("skip", [True, False], ids=["from-the-site", "whole"])
@pytest.mark.parametrize("name", NAMES)
def test_factors_equal_the_reference(name, skip):
    model, tokenizer = models(name)
    facts, site = tiny.FACTS[1:2], find_sites(model)[1]
    expected = reference_training.lora(
        model, tokenizer, facts, site.name, first(3, site.d_in), alpha=5.0, **HOW
    )
    with comes_back(model):
        result = edit(LoRA(**HOW, rank=3, alpha=5.0, skip_below=skip), model, tokenizer, facts)
    agree(result, model, tokenizer, facts, expected)
    A, B = expected.factors
    (update,) = result.updates
    torch.testing.assert_close(update.left, 5.0 / 3 * B, rtol=0, atol=1e-8)
    torch.testing.assert_close(update.right, A.T, rtol=0, atol=1e-8)
    assert not torch.allclose(A, first(3, site.d_in), atol=1e-4)
    assert update.rank == 3


@pytest.mark.parametrize("size", [1, 2, 8])
@pytest.mark.parametrize("name", ["gpt2", "opt"])
def test_facts_are_trained_together_in_batches(name, size):
    model, tokenizer = models(name)
    facts, site = tiny.FACTS[:3], find_sites(model)[2]
    how = {**HOW, "batch_size": size, "weight_decay": 0.1}
    expected = reference_training.lora(
        model, tokenizer, facts, site.name, first(8, site.d_in, seed=7), alpha=16.0, **how
    )
    result = edit(LoRA(**how, seed=7), model, tokenizer, facts, layer=2)
    agree(result, model, tokenizer, facts, expected)


def test_a_fact_is_written():
    model, tokenizer = teachable()
    (outcome,) = edit(LoRA(lr=2e-2, steps=60), model, tokenizer, tiny.FACTS[:1]).outcomes
    assert outcome.status == "converged"
    assert outcome.nll_after < 0.69 < outcome.nll_before
    json.dumps(outcome.details, allow_nan=False)


def test_a_seed_gives_the_same_again_and_another_seed_another():
    model, tokenizer = models("llama", torch.float32)
    one = edit(LoRA(**HOW), model, tokenizer, tiny.FACTS[:2])
    torch.rand(5)
    two = edit(LoRA(**HOW), model, tokenizer, tiny.FACTS[:2])
    other = edit(LoRA(**HOW, seed=1), model, tokenizer, tiny.FACTS[:2])
    assert one == two
    assert not torch.allclose(one.updates[0].right, other.updates[0].right, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", NAMES)
def test_the_model_comes_back_in_every_dtype(name, dtype):
    model, tokenizer = models(name, dtype)
    for flag, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(flag % 2 == 0)
    model.train()
    with comes_back(model):
        result = edit(LoRA(lr=5e-3, steps=2), model, tokenizer, tiny.FACTS[:1])
    assert result.updates[0].left.dtype == torch.float32


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("when", [("steps", 2), ("answers after", 1)])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_model_comes_back_after_an_exception(name, when, skip):
    model, tokenizer = models(name, torch.float32)
    with comes_back(model), pytest.raises(EnoughError):
        edit(
            LoRA(**HOW, skip_below=skip), model, tokenizer, tiny.FACTS[:2], progress=stop_at(*when)
        )


def test_a_model_that_is_not_frozen_comes_back_too():
    model, tokenizer = models("llama")
    site = find_sites(model)[1]
    request = EditRequest(model, tokenizer, tiny.FACTS[:1], [site], Templates("own", ("",)))
    with comes_back(model):
        LoRA(**HOW).edit(request)


def test_peft_stands_at_the_site_alone_and_an_adapter_that_is_there_stays():
    import peft

    model, tokenizer = models("llama", torch.float32)
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=["q_proj"]), model)
    attention = model.model.layers[0].self_attn.q_proj
    site = next(s for s in find_sites(model) if s.layer == 1)
    module = model.get_submodule(site.name)
    with comes_back(model):
        with adapted(model, site, 4, 8.0, 0) as layer:
            assert model.get_submodule(site.name) is layer
            assert layer.get_base_layer() is module
            assert layer.scaling["default"] == 2.0
            here = [n for n, m in model.named_modules() if n.endswith("lora_A")]
            assert here == [
                f"model.layers.{i}.{part}.lora_A"
                for i in range(4)
                for part in ("self_attn.q_proj", *(["mlp.down_proj"] if i == 1 else []))
            ]
            assert attention.active_adapters == ["default"]
        assert model.get_submodule(site.name) is module
        edit(LoRA(**HOW), model, tokenizer, tiny.FACTS[:1])
    assert attention.lora_B["default"].weight.requires_grad


def test_a_broken_model_is_an_error():
    model, tokenizer = models("gpt2", torch.float32)
    with torch.no_grad():
        model.transformer.ln_f.weight.fill_(float("inf"))
    with comes_back(model), pytest.raises(EditError, match="loss is nan at step 0"):
        edit(LoRA(**HOW), model, tokenizer, tiny.FACTS[:2])


def test_without_peft(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    model, tokenizer = models("llama", torch.float32)
    with comes_back(model), pytest.raises(SettingsError, match=r"golden-layers\[peft\].*ft-m"):
        edit(LoRA(**HOW), model, tokenizer, tiny.FACTS[:1])


def test_nothing_is_changed_where_the_loss_is_under_the_stop_at_once():
    model, tokenizer = models("gpt2")
    result = edit(LoRA(stop_loss=1e9), model, tokenizer, tiny.FACTS[:1])
    assert result.updates == ()
    assert result.outcomes[0].layers == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank 0: expected a whole number above 0"),
        ({"rank": 1.5}, "rank 1.5"),
        ({"alpha": 0}, "alpha 0: expected a number above 0"),
        ({"seed": -1}, "seed -1: expected a whole number of 0 or more"),
        ({"lr": -1}, "lr -1"),
        ({"steps": 0}, "steps 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(SettingsError, match=message):
        LoRA(**settings)


def test_one_layer_is_edited():
    model, tokenizer = models("llama")
    request = EditRequest(
        model, tokenizer, tiny.FACTS, find_sites(model)[:2], Templates("own", ("",))
    )
    with pytest.raises(SettingsError, match="lora edits one layer, 2 were given"):
        LoRA().edit(request)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_there_and_back(name, tmp_path):
    goes_there_and_back(LoRA(lr=1e-2, steps=6), name, tmp_path)
