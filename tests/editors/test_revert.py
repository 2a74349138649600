"""Taking an edit off a model that does not remember: exact from the base, else within the bound."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from goldenlayers.editors.samples import positions
from goldenlayers.editors.take_off import take_off
from goldenlayers.errors import EditError
from tests import tiny
from tests.editors.edits import random_edit
from tests.editors.test_edit import DTYPES, same, state


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request):
    return request.param


def forgetful(model):
    """Return a copy of which nothing is known, as if it came from disk."""
    return copy.deepcopy(model)


@pytest.mark.parametrize("name", ["gpt2", "llama", "falcon"])
@pytest.mark.parametrize("rank", [1, 8])
def test_subtraction_stays_within_the_stated_bound(name, rank, dtype):
    base = tiny.model(name, dtype)
    edit = random_edit(base, (1, 2), rank=rank, size=3.0)
    model = forgetful(base)
    edit.apply(model)
    reverted = edit.revert(forgetful_model := forgetful(model))
    assert not reverted.exact
    worst, ratio = 0.0, 0.0
    for update in edit.updates:
        was = base.get_submodule(update.name).weight.detach().double()
        off = (forgetful_model.get_submodule(update.name).weight.detach().double() - was).abs()
        worst = max(worst, float(off.max()))
        ratio = max(ratio, float(off.norm() / was.norm()))
    assert 0 < worst <= reverted.tolerance
    assert 0 < ratio <= reverted.relative
    # a bound, and not a vacuous one; that of a sum of many terms is the looser one
    assert reverted.tolerance < (16 if rank == 1 else 64) * worst
    assert f"within {reverted.tolerance:.2g}" in str(reverted)
    # everything else is the base's, bit for bit
    for update in edit.updates:
        forgetful_model.get_submodule(update.name).weight.data = base.get_submodule(
            update.name
        ).weight.data
    assert same(forgetful_model, state(base))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_base_makes_it_exact(name, dtype):
    base = tiny.model(name, dtype)
    edit = random_edit(base, (1, 2), rank=3)
    model = forgetful(base)
    edit.apply(model)
    model = forgetful(model)
    reverted = edit.revert(model, base)
    assert reverted.exact
    assert "base model" in str(reverted)
    assert same(model, state(base))
    # its own memory, not the base's: a later change here must not reach the base
    with torch.no_grad():
        model.get_submodule(edit.updates[0].name).weight.zero_()
    assert base.get_submodule(edit.updates[0].name).weight.abs().max() > 0


def test_edited_in_float32_and_reverted_in_bfloat16():
    base = tiny.model("llama", torch.float32)
    edit = random_edit(base, rank=2)
    edited = forgetful(base)
    edit.apply(edited)
    edited.to(torch.bfloat16)  # the kept tensor is of no use any more
    reverted = edit.revert(edited)
    off = edited.get_submodule(edit.updates[0].name).weight.detach().double()
    clean = base.get_submodule(edit.updates[0].name).weight.detach().to(torch.bfloat16)
    off = (off - clean.double()).abs()
    assert not reverted.exact
    assert 0 < float(off.max()) <= reverted.tolerance < 10 * float(off.max())
    again = forgetful(base)
    edit.apply(again)
    again = again.to(torch.bfloat16)
    reverted = edit.revert(again, forgetful(base).to(torch.bfloat16))
    # those are the numbers, but no hash of a bfloat16 weight can prove it
    assert same(again, state(forgetful(base).to(torch.bfloat16)))
    assert not reverted.exact
    assert "putting back the base model's tensors" in str(reverted)


def test_a_weight_that_somebody_else_changed():
    model = tiny.model("llama", torch.float32)
    edit = random_edit(model)
    edit.apply(model)
    with torch.no_grad():
        model.get_submodule(edit.updates[0].name).weight[3, 4] += 1.0
    before = state(model)
    # restoring what was put aside would undo that change behind the user's back
    with pytest.raises(EditError, match="other edits are on it too"):
        edit.revert(model, tiny.model("llama", torch.float32))
    assert same(model, before)
    weight = before[f"{edit.updates[0].name}.weight"]
    assert not edit.revert(model, check=False).exact
    after = model.get_submodule(edit.updates[0].name).weight
    expected = weight - edit.updates[0].left @ edit.updates[0].right.T
    assert torch.allclose(after, expected, atol=1e-6)


def test_an_edit_that_is_not_there(dtype):
    model = tiny.model("llama", dtype)
    edit = random_edit(model)
    before = state(model)
    for base in (None, tiny.model("llama", dtype)):
        with pytest.raises(EditError, match="the edit is not on this model"):
            edit.revert(model, base)
    other = tiny.model("llama_tied", dtype)
    with pytest.raises(EditError, match="it is another model, or other edits"):
        edit.revert(other)
    edit.apply(model)
    edited = forgetful(model)
    with pytest.raises(EditError, match="not the base of the edit"):
        edit.revert(edited, other)
    assert same(model, state(edited))
    edit.revert(model)
    with pytest.raises(EditError, match="the edit is not on this model"):
        edit.revert(model)  # once is enough
    assert same(model, before)


def test_all_or_none_of_the_sites():
    model = tiny.model("llama", torch.float32)
    edit = random_edit(model, (1, 2))
    random_edit(model, (1,)).apply(model)  # only half of it is on
    edited = forgetful(model)
    before = state(edited)
    with pytest.raises(EditError):
        edit.revert(edited)
    assert same(edited, before)


def test_one_of_several(dtype):
    base = tiny.model("llama", dtype)
    a, b = random_edit(base, (1, 2), seed=1), random_edit(base, (2, 3), seed=2, rank=2)
    both = type(a).compose([a, b])
    model = forgetful(base)
    both.apply(model)
    alone = forgetful(base)
    a.apply(alone)

    exactly = forgetful(model)
    done, rest = take_off(exactly, b, both, base)
    assert done.exact
    assert same(exactly, state(alone))
    assert rest.updates == a.updates
    assert rest.outcomes == a.outcomes
    nearly = forgetful(model)
    done, rest = take_off(nearly, b, both)
    assert not done.exact
    for name, tensor in state(alone).items():
        # the rest was rounded with b on it and without
        assert (nearly.state_dict()[name] - tensor).abs().max() <= 2 * done.tolerance, name
    assert rest.updates == a.updates
    done, rest = take_off(forgetful(model), both, both, base)
    assert done.exact
    assert rest is None
    with pytest.raises(EditError, match="not among those on this model"):
        take_off(forgetful(model), random_edit(base, (2,), seed=9), both, base)


def test_a_base_in_a_coarser_dtype_is_not_put_into_the_model():
    base = tiny.model("llama", torch.float32)
    edit = random_edit(base, (1, 2), rank=2)
    model = forgetful(base)
    edit.apply(model, keep=False)
    reverted = edit.revert(model, forgetful(base).to(torch.bfloat16))
    worst = max(
        float((model.state_dict()[name] - tensor).abs().max())
        for name, tensor in state(base).items()
    )
    assert not reverted.exact
    assert reverted.how == "subtracting the factors"
    assert 0 < worst <= reverted.tolerance < 1e-5  # the bfloat16 weights are off by 1e-3


@pytest.mark.parametrize("edited_in", [torch.float32, torch.bfloat16])
def test_a_base_that_is_like_the_one_of_the_edit_but_not_it(edited_in):
    """A base that differs where no sample is: the hash tells, or nothing is claimed."""
    base = tiny.model("llama", torch.float32)
    edit = random_edit(base)
    edit = replace(edit, outcomes=edit.outcomes * 6)  # so that many roundings may lie between
    name = edit.updates[0].name
    other = forgetful(base).to(torch.bfloat16)
    weight = other.get_submodule(name).weight.data
    taken = set(positions(weight.numel()).tolist())
    largest = weight.flatten().abs().argsort(descending=True).tolist()
    free = next(i for i in largest if i not in taken)
    weight.view(-1)[free] *= 1 + 5 * 2**-7  # some units in the last place
    model = forgetful(base).to(edited_in)
    edit.apply(model, keep=False)
    model.to(torch.bfloat16)
    reverted = edit.revert(model, other)
    was = base.get_submodule(name).weight.detach().to(torch.bfloat16).double()
    off = (model.get_submodule(name).weight.detach().double() - was).abs()
    assert not reverted.exact
    assert 0 < float(off.max()) <= reverted.tolerance
    assert 0 < float(off.norm() / was.norm()) <= reverted.relative


@pytest.mark.parametrize(("made", "model_in"), [(torch.float32, torch.bfloat16), (DTYPES[1], None)])
def test_a_checkpoint_of_bfloat16_is_proved_in_either_dtype(made, model_in):
    """The way of the command line: edited in float32, written and reverted as it is on disk."""
    checkpoint = tiny.model("llama", torch.bfloat16)
    edit = random_edit(forgetful(checkpoint).to(made))
    model = forgetful(checkpoint).to(model_in or torch.float32)
    before = state(model)
    edit.apply(model, keep=False)
    reverted = edit.revert(model, forgetful(checkpoint).to(model_in or torch.float32))
    assert reverted.exact
    assert same(model, before)


def test_an_edit_that_rounds_away():
    base = tiny.model("llama", torch.bfloat16)
    edit = random_edit(base, (1, 2), size=1e-9)
    model = forgetful(base)
    edit.apply(model, keep=False)
    assert same(model, state(base))
    reverted = edit.revert(model)
    assert reverted.exact
    assert "too small to change them" in str(reverted)
    assert same(model, state(base))
    # one site of two: the other is taken off as ever
    large = replace(edit.updates[1], left=edit.updates[1].left * 1e8)
    half = replace(edit, updates=(edit.updates[0], large))
    half.apply(model, keep=False)
    reverted = half.revert(forgetful(model), base)
    assert reverted.exact
    assert not half.revert(model).exact


def test_an_edit_too_small_to_be_told_in_another_dtype():
    source = tiny.model("llama", torch.float32)
    for size, rounds_away in ((1e-9, True), (2e-4, False)):
        edit = random_edit(source, size=size)
        base = forgetful(source).to(torch.bfloat16)
        model = forgetful(base)
        edit.apply(model, keep=False)
        assert same(model, state(base)) is rounds_away
        if rounds_away:
            reverted = edit.revert(model)
            assert not reverted.exact
            assert same(model, state(base))
            continue
        with pytest.raises(EditError, match="cannot be told: it was made in float32"):
            edit.revert(forgetful(model))
        with pytest.raises(EditError, match="the edit is not on this model"):
            edit.revert(forgetful(base), base)
        reverted = edit.revert(model, base)
        assert same(model, state(base))


def test_one_of_several_with_a_base_that_is_no_proof():
    source = tiny.model("llama", torch.float32)
    a, b = random_edit(source, (1, 2), seed=1), random_edit(source, (2, 3), seed=2, rank=2)
    base = forgetful(source).to(torch.bfloat16)
    model = forgetful(base)
    both = type(a).compose([a, b])
    both.apply(model, keep=False)
    alone = forgetful(base)
    a.apply(alone, keep=False)
    done, rest = take_off(model, b, both, base)
    assert rest.updates == a.updates
    assert not done.exact
    # both off, and one on again: rounded once more
    clean = forgetful(base)
    both.apply(clean, keep=False)
    off = both.revert(clean, base)
    assert done.tolerance > off.tolerance
    assert done.relative > off.relative
    for name, tensor in state(alone).items():
        assert (model.state_dict()[name] - tensor).abs().max() <= done.tolerance, name
