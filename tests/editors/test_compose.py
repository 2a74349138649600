"""Several edits as one."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from goldenlayers.editors.base import base_of
from goldenlayers.editors.compose import without
from goldenlayers.editors.edit import Edit
from goldenlayers.errors import EditError
from goldenlayers.models.identity import identify
from tests import tiny
from tests.editors.edits import random_edit
from tests.editors.test_edit import same, state


def put_on(model, *edits):
    """Return a copy with the edits on it, one after another, unchecked."""
    model = copy.deepcopy(model)
    for edit in edits:
        edit.apply(model, check=False, keep=False)
    return model


def greatest_difference(a, b):
    b = b.state_dict()
    return max(float((t.double() - b[n].double()).abs().max()) for n, t in a.state_dict().items())


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt"])
def test_edits_of_one_base_add_up(name):
    base = tiny.model(name, torch.float64)
    a = random_edit(base, (0, 1), rank=2, seed=1, dtype=torch.float64)
    b = random_edit(base, (1, 3), rank=3, seed=2, dtype=torch.float64)
    both = Edit.compose([a, b])
    assert both.layers == (0, 1, 3)
    assert {u.layer: u.rank for u in both.updates} == {0: 2, 1: 5, 3: 3}
    assert both.outcomes == a.outcomes + b.outcomes
    assert set(both.base.weights) == {u.name for u in both.updates}
    assert greatest_difference(put_on(base, both), put_on(base, a, b)) < 1e-14
    sums = {n: both.norms[n] for n in both.norms}
    shared = next(u for u in both.updates if u.layer == 1)
    parts = [next(u for u in e.updates if u.layer == 1) for e in (a, b)]
    assert sums[shared.name] == pytest.approx(
        float(sum(u.left @ u.right.T for u in parts).norm()), rel=1e-12
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_an_edit_of_an_edited_model_goes_on_top(dtype):
    base = tiny.model("llama", dtype)
    a = random_edit(base, (1,), seed=1)
    with_a = put_on(base, a)
    b = random_edit(with_a, (1, 2), seed=2)
    with_b = put_on(with_a, b)
    c = random_edit(with_b, (1,), seed=3)
    total = Edit.compose([a, b, c])
    assert Edit.compose([Edit.compose([a, b]), c]).updates == total.updates
    assert total.base.weights.keys() == {u.name for u in total.updates}
    total.base.check(base)
    step = torch.finfo(dtype).eps * max(float(p.detach().abs().max()) for p in base.parameters())
    assert greatest_difference(put_on(base, total), put_on(with_b, c)) <= 2 * step
    with pytest.raises(EditError, match="do not belong together"):
        Edit.compose([a, c])  # the one in between is missing
    with pytest.raises(EditError, match="do not belong together"):
        Edit.compose([b, a])  # the wrong way round
    with pytest.raises(EditError, match="do not belong together"):
        Edit.compose([replace(a, updates=random_edit(base, (1,), seed=7).updates), b])


def test_in_another_dtype():
    base = tiny.model("llama", torch.float32)
    a = random_edit(base, (1,), seed=1)
    beside = random_edit(copy.deepcopy(base).to(torch.bfloat16), (1,), seed=2)
    on_top = random_edit(put_on(base, a).to(torch.bfloat16), (1,), seed=2)
    for b in (beside, on_top):
        both = Edit.compose([a, b])
        assert both.rank == 2
        both.base.check(base)


def test_half_beside_and_half_on_top():
    base = tiny.model("llama", torch.float32)
    a = random_edit(base, (1, 2), seed=1)
    b = random_edit(put_on(base, a), (1, 2), seed=2)
    weights = dict(b.base.weights)
    name = b.updates[0].name
    weights[name] = a.base.weights[name]
    with pytest.raises(EditError, match="beside the first at some weights and on top of it at"):
        Edit.compose([a, replace(b, base=replace(b.base, weights=weights))])


def test_edits_of_different_models():
    llama, gpt2 = tiny.model("llama", torch.float32), tiny.model("gpt2", torch.float32)
    tuned = copy.deepcopy(llama)
    with torch.no_grad():
        tuned.get_submodule("model.layers.1.mlp.down_proj").weight.add_(0.01)
    a = random_edit(llama)
    with pytest.raises(EditError, match=r"for different models: .* LlamaForCausalLM"):
        Edit.compose([a, random_edit(gpt2)])
    with pytest.raises(EditError, match="do not belong together"):
        Edit.compose([a, random_edit(tuned)])
    anonymous = random_edit(gpt2, (2,))  # no weight in common, and no word about the model
    anonymous = replace(anonymous, base=replace(anonymous.base, model={}))
    with pytest.raises(EditError, match="no module"):
        Edit.compose([a, anonymous]).apply(llama)


def test_what_is_said_of_a_composed_edit():
    base = tiny.model("llama", torch.float32)
    a, b = random_edit(base, (1,), seed=1), random_edit(base, (2,), seed=2)
    other = replace(b, editor="rome", versions={**b.versions, "golden-layers": "1"})
    both = Edit.compose([a, other])
    assert both.editor == "r-rome + rome"
    assert [part["settings"] for part in both.settings["composed"]] == [a.settings, b.settings]
    assert both.settings["composed"][0]["facts"] == [o.fact.id for o in a.outcomes]
    assert both.versions["golden-layers"] == "0, 1"
    assert both.seconds == {"edit": 2.5}
    alike = Edit.compose([a, replace(b, settings=a.settings)])
    assert (alike.editor, alike.settings, alike.versions) == ("r-rome", a.settings, a.versions)
    nested = Edit.compose([both, random_edit(base, (3,), seed=3)])
    assert [len(part) for part in nested.settings["composed"]] == [3, 3, 3]
    assert Edit.compose([a]) is a
    with pytest.raises(EditError, match="no edit was given"):
        Edit.compose([])


def test_float32_and_float64_factors():
    base = tiny.model("llama", torch.float32)
    a = random_edit(base, (1,), seed=1)
    b = random_edit(base, (1,), seed=2, dtype=torch.float64)
    both = Edit.compose([a, b])
    assert both.updates[0].left.dtype == torch.float64
    assert torch.equal(both.updates[0].left[:, :1], a.updates[0].left.double())
    assert torch.equal(both.updates[0].left[:, 1:], b.updates[0].left)


def test_one_taken_out_of_several():
    base = tiny.model("llama", torch.float32)
    edits = [random_edit(base, (1, n), rank=n, seed=n) for n in (2, 3)]
    edits += [random_edit(base, (0,), seed=4)]
    total = Edit.compose(edits)
    for i, part in enumerate(edits):
        rest = edits[:i] + edits[i + 1 :]
        left = without(total, part)
        assert left.updates == Edit.compose(rest).updates
        assert left.outcomes == tuple(o for e in rest for o in e.outcomes)
        assert left == Edit.compose(rest)
    assert without(total, total) is None
    with pytest.raises(EditError, match="not among those on this model"):
        without(edits[0], edits[1])
    with pytest.raises(EditError, match="not among those on this model"):
        without(edits[2], total)


def test_the_identity_that_a_base_takes():
    model = tiny.model("llama", torch.float32)
    names = ["model.layers.1.mlp.down_proj"]
    plain, named = base_of(model, names), base_of(model, names, identify(model, "owner/Name"))
    assert plain.model["architecture"] == "LlamaForCausalLM"
    assert named.title == "Name"
    assert base_of(model, names, {"name": "x"}).title == "x"
    assert plain.weights == named.weights
    before = state(model)
    with torch.no_grad():
        model.get_submodule(names[0]).weight[0, 0] = float("nan")
    with pytest.raises(EditError, match="NaN or infinity"):
        base_of(model, names)
    assert not same(model, before)
