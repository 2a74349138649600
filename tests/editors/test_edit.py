"""An edit on a model in memory: on, off, refused; bit for bit wherever that is promised."""

from __future__ import annotations

import contextlib
import copy
import gc
import weakref
from dataclasses import replace

import pytest
import torch

from goldenlayers.editors import ledger
from goldenlayers.editors.base import Base
from goldenlayers.editors.edit import Edit
from goldenlayers.errors import EditError, SiteError
from tests import tiny
from tests.editors.edits import random_edit

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12], [30, 40, 50, 60, 70, 80, 90, 99]])


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(model, before):
    """Whether every tensor has the bytes that it had."""
    after = model.state_dict()
    return after.keys() == before.keys() and all(
        torch.equal(after[n].view(torch.uint8), before[n].view(torch.uint8)) for n in before
    )


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


def expected_weight(model, update):
    """round(base + left @ right.T), summed in float64."""
    weight = model.get_submodule(update.name).weight.detach()
    delta = torch.zeros_like(weight, dtype=torch.float64)
    for k in range(update.rank):
        for i in range(update.left.shape[0]):
            row = update.left[i, k].double() * update.right[:, k].double()
            if update.transposed:
                delta[:, i] += row
            else:
                delta[i] += row
    return weight.double() + delta


@pytest.mark.parametrize("name", tiny.MODELS)
def test_applied_adds_the_factors_and_goes_back_bit_for_bit(name):
    model = tiny.model(name, torch.float32)
    before, plain = state(model), logits(model)
    edit = random_edit(model, (1, 2), rank={1: 1, 2: 3})
    expected = {u.name: expected_weight(model, u) for u in edit.updates}
    with edit.applied(model) as lent:
        assert lent is model
        for site, weight in expected.items():
            found = model.get_submodule(site).weight
            assert torch.allclose(found.double(), weight, rtol=1e-6, atol=1e-7)
        changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
        assert changed == {f"{u.name}.weight" for u in edit.updates}
        assert (logits(model) - plain).abs().max() > 0.01
    assert same(model, before)
    assert torch.equal(logits(model), plain)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["gpt2", "llama", "opt", "bloom"])
def test_exact_in_every_dtype(name, dtype):
    model = tiny.model(name, dtype)
    before = state(model)
    weights = dict(model.named_parameters())
    edit = random_edit(model, (0, 3), rank=2)
    with contextlib.suppress(ZeroDivisionError), edit.applied(model):
        assert not same(model, before)
        raise ZeroDivisionError
    assert same(model, before)
    edit.apply(model)
    with_edit = state(model)
    for update in edit.updates:
        site = f"{update.name}.weight"
        wide = before[site].float() + (
            update.right @ update.left.T if update.transposed else update.left @ update.right.T
        )
        assert torch.equal(with_edit[site], wide.to(dtype))  # rounded once
    reverted = edit.revert(model)
    assert (reverted.exact, reverted.tolerance, reverted.relative) == (True, None, None)
    assert same(model, before)
    # the parameters are the same objects: optimisers and tied modules still hold them
    assert all(weights[n] is p for n, p in model.named_parameters())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("first_off", [0, 1])
@pytest.mark.parametrize("layers", [((1,), (2,)), ((1,), (1,)), ((1, 2), (2, 3))])
def test_two_edits_come_off_in_either_order(layers, first_off, dtype):
    model = tiny.model("llama", dtype)
    before = state(model)
    edits = [random_edit(model, layers[0], seed=1)]
    edits[0].apply(model)
    edits.append(random_edit(model, layers[1], seed=2))  # made on the edited model
    edits[1].apply(model)
    assert edits[first_off].revert(model).exact
    alone = tiny.model("llama", dtype)
    edits[1 - first_off].apply(alone, check=False)
    assert same(model, state(alone))  # as if the other one had never been there
    assert edits[1 - first_off].revert(model).exact
    assert same(model, before)


def test_an_equal_edit_from_elsewhere_takes_it_off(tmp_path):
    model = tiny.model("llama", torch.bfloat16)
    before = state(model)
    edit = random_edit(model)
    edit.save(tmp_path / "e.safetensors")
    edit.apply(model)
    assert Edit.load(tmp_path / "e.safetensors").revert(model).exact
    assert same(model, before)


def test_the_same_edit_is_applied_once():
    model = tiny.model("llama", torch.float32)
    edit = random_edit(model, size=1e-6)
    edit.apply(model)
    once = state(model)
    with pytest.raises(EditError, match="is on the model already"):
        edit.apply(model)
    with pytest.raises(EditError, match="is on the model already"), edit.applied(model):
        pass
    assert same(model, once)
    stranger = copy.deepcopy(model)  # nothing is known of a copy, but the fingerprint tells
    with pytest.raises(EditError, match="not the base of the edit"):
        edit.apply(stranger)


def test_the_wrong_base_is_refused_and_untouched():
    model = tiny.model("llama", torch.float32)
    edit = random_edit(model, (1, 2))
    tuned = copy.deepcopy(model)
    weight = tuned.get_submodule(edit.updates[1].name).weight
    with torch.no_grad():
        weight[7, 11] += 1e-3  # one number of one weight
    others = [tuned, tiny.model("llama_tied", torch.float32), tiny.model("gpt2", torch.float32)]
    others.append(tiny.model("opt", torch.float32))
    for other in others:
        before = state(other)
        with pytest.raises(EditError, match=r"model\.layers"):
            edit.apply(other)
        with pytest.raises(EditError, match=r"model\.layers"), edit.applied(other):
            pass
        assert same(other, before)


@pytest.mark.parametrize(("made", "loaded"), [(a, b) for a in DTYPES for b in DTYPES if a != b])
def test_another_dtype_of_the_same_model_is_its_base(made, loaded):
    source = tiny.model("llama", torch.float32)
    edit = random_edit(copy.deepcopy(source).to(made))
    model = copy.deepcopy(source).to(loaded)
    before = state(model)
    edit.apply(model)
    assert not same(model, before)
    assert edit.revert(model).exact
    assert same(model, before)
    with torch.no_grad():  # but not a model that was trained on in between
        model.get_submodule(edit.updates[0].name).weight.mul_(1.03)
    with pytest.raises(EditError, match="which is more than rounding"):
        edit.apply(model)


def test_all_sites_or_none():
    model = tiny.model("llama", torch.float16)
    before = state(model)
    edit = random_edit(model, (1, 2))
    huge = replace(edit.updates[1], left=edit.updates[1].left * 1e9)
    broken = replace(edit, updates=(edit.updates[0], huge))
    with pytest.raises(EditError, match=r"not finite in torch.float16; load .* wider dtype"):
        broken.apply(model)
    with pytest.raises(EditError, match="not finite"), broken.applied(model):
        pass
    assert same(model, before)
    other = replace(edit.updates[1], name="model.layers.2.mlp.nothing")
    with pytest.raises(SiteError, match="no module"):
        replace(edit, updates=(edit.updates[0], other)).apply(model, check=False)
    assert same(model, before)


def test_nothing_is_kept_of_a_model_that_is_gone_or_when_not_wanted():
    model = tiny.model("llama", torch.float32)
    edit = random_edit(model)
    kept = weakref.ref(model)
    edit.apply(model)
    assert ledger.carries(model, edit.updates[0])
    before = len(ledger._ENTRIES)
    del model
    gc.collect()
    assert kept() is None
    assert len(ledger._ENTRIES) == before - 1
    model = tiny.model("llama", torch.float32)
    edit.apply(model, keep=False)
    assert not ledger.carries(model, edit.updates[0])
    assert not edit.revert(model).exact


def test_an_edit_that_changes_nothing():
    model = tiny.model("llama", torch.float32)
    before = state(model)
    edit = replace(random_edit(model), updates=(), base=Base({"title": "Tiny"}))
    edit.apply(model)
    assert edit.revert(model).exact
    assert same(model, before)
    assert (edit.rank, edit.layers, edit.norms) == (0, (), {})
    assert "nothing is changed, on Tiny" in repr(edit)


def test_without_a_fingerprint():
    model = tiny.model("llama", torch.float32)
    edit = replace(random_edit(model), base=Base())
    for act in (edit.apply, edit.revert):
        with pytest.raises(EditError, match=r"does not say which weight of 'model\.layers\.1"):
            act(model)


def test_a_weight_that_cannot_be_edited():
    model = tiny.model("llama", torch.float32)
    edit = random_edit(model)
    site = model.get_submodule(edit.updates[0].name)
    site.weight = torch.nn.Parameter(site.weight.data.to(torch.float8_e4m3fn), requires_grad=False)
    with pytest.raises(EditError, match=r"float8_e4m3fn; expected a matrix of 16 bits"):
        edit.apply(model)
    with pytest.raises(EditError, match="on the meta device"):
        edit.apply(tiny.model("llama", torch.float32).to("meta"))


def test_in_inference_mode_and_with_gradients():
    model = tiny.model("llama", torch.float32).requires_grad_(True)
    before = state(model)
    edit = random_edit(model)
    with torch.inference_mode():
        edit.apply(model)
    model(IDS, labels=IDS).loss.backward()  # the edited model can be trained
    assert model.get_submodule(edit.updates[0].name).weight.grad is not None
    with torch.inference_mode():
        assert edit.revert(copy.deepcopy(model), tiny.model("llama", torch.float32)).exact
        assert edit.revert(model).exact
    assert same(model, before)
    trained = replace(edit.updates[0], left=edit.updates[0].left.clone().requires_grad_(True))
    with replace(edit, updates=(trained,)).applied(model):
        assert logits(model).isfinite().all()
    assert same(model, before)
