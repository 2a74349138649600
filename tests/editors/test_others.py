"""The parameters that an edit does not change: another model is told by them."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace

import pytest
import torch

from goldenlayers.editors.base import Base, base_of
from goldenlayers.editors.compose import without
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.samples import SAMPLES, short, shorts
from goldenlayers.errors import EditError
from tests import tiny
from tests.editors.edits import random_edit
from tests.editors.test_edit import DTYPES, same, state

SITE = "model.layers.1.mlp.down_proj"


def slow_hash(parameter):
    """The hash of one parameter, number by number."""
    flat = parameter.detach().flatten().tolist()
    values = [flat[i * 2654435761 % len(flat)] for i in range(SAMPLES)]
    raw = b"".join(
        bytes(torch.tensor([v], dtype=torch.bfloat16).view(torch.uint8).tolist()) for v in values
    )
    return hashlib.sha256(raw).hexdigest()[:8]


def with_lora_on_attention(model, size=0.02):
    """Return a copy as after merging a LoRA of q and v: nothing else is changed."""
    tuned = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(5)
    for name, parameter in tuned.named_parameters():
        if "q_proj.weight" in name or "v_proj.weight" in name:
            delta = torch.randn(parameter.shape[0], 2, generator=draw) @ torch.randn(
                2, parameter.shape[1], generator=draw
            )
            scale = size * parameter.detach().float().norm() / delta.norm()
            parameter.data = (parameter.detach().float() + scale * delta).to(parameter.dtype)
    return tuned


@pytest.mark.parametrize("name", ["gpt2", "llama", "llama_tied", "opt", "bloom", "falcon"])
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64])
def test_what_is_hashed(name, dtype):
    model = tiny.model(name, dtype)
    site = random_edit(model).updates[0].name
    others = base_of(model, [site]).others
    expected = {n: slow_hash(p) for n, p in model.named_parameters() if n != f"{site}.weight"}
    assert dict(others) == expected  # tied ones once, under the first name
    weight = model.get_submodule(site).weight
    assert base_of(model, [site]).weights[site].short == slow_hash(weight)
    assert base_of(model, []).others == {}  # nothing is changed, so nothing has to fit


def test_what_cannot_be_hashed_is_left_out():
    draw = torch.Generator().manual_seed(0)
    plain = torch.nn.Parameter(torch.randn(6, 4, generator=draw))
    strided = torch.nn.Parameter(plain.detach().T.contiguous().T)
    assert not strided.is_contiguous()
    given = {
        "plain": plain,
        "strided": strided,
        "half": torch.nn.Parameter(plain.detach().half()),
        "scalar": torch.nn.Parameter(torch.tensor(3.0)),
        "integers": torch.nn.Parameter(torch.zeros(3, dtype=torch.uint8), requires_grad=False),
        "float8": torch.nn.Parameter(plain.detach().to(torch.float8_e4m3fn), requires_grad=False),
        "meta": torch.nn.Parameter(plain.detach().to("meta")),
        "empty": torch.nn.Parameter(torch.zeros(0, 4)),
    }
    found = shorts(given.items())
    assert list(found) == ["plain", "strided", "half", "scalar"]
    assert found["plain"] == found["strided"] == slow_hash(plain)
    # a bit of every NaN is not defined; its hash is
    nan = torch.tensor([float("nan")] * SAMPLES)
    assert short(nan) == short(-nan) == short(nan.double())


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_fine_tune_of_the_attention_alone_is_refused(dtype):
    model = tiny.model("llama", dtype)
    edit = random_edit(model)
    tuned = with_lora_on_attention(model)
    before = state(tuned)
    with pytest.raises(
        EditError, match=r"8 of \d+ parameters .* other numbers .*'model\.layers\.0"
    ):
        edit.apply(tuned)
    with pytest.raises(EditError, match="compose the edits"), edit.applied(tuned):
        pass
    edit.base.check_weights(tuned)  # by the edited weight alone it would have gone through
    assert same(tuned, before)
    edit.apply(tuned, check=False)
    # the base of an edit that was made in another dtype
    if dtype != torch.float16:
        other = torch.float32 if dtype == torch.bfloat16 else torch.bfloat16
        with pytest.raises(EditError, match="not the base of the edit"):
            edit.apply(with_lora_on_attention(copy.deepcopy(model).to(other)))


def test_a_model_of_noise_around_the_edited_weight_is_refused():
    model = tiny.model("gpt2", torch.float32)
    edit = random_edit(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "mlp.c_proj.weight" not in name:
                parameter.normal_()
    with pytest.raises(EditError, match="parameters that the edit does not change"):
        edit.apply(model)


def test_a_model_with_layers_missing_is_refused():
    model = tiny.model("llama", torch.float32)
    edit = random_edit(model)
    model.model.layers = model.model.layers[:2]
    with pytest.raises(EditError, match="are missing or hold other numbers"):
        edit.apply(model)


@pytest.mark.parametrize("made", [*DTYPES, torch.float64])
@pytest.mark.parametrize("loaded", [*DTYPES, torch.float64])
def test_the_same_checkpoint_in_another_dtype(made, loaded):
    source = tiny.model("llama", torch.float32)
    edit = random_edit(copy.deepcopy(source).to(made))
    edit.base.check(copy.deepcopy(source).to(loaded))
    tuned = with_lora_on_attention(source).to(loaded)
    if (made == torch.float16) is (loaded == torch.float16):
        with pytest.raises(EditError, match="not the base of the edit"):
            edit.base.check(tuned)
    else:  # rounded twice, to be the same or not
        edit.base.check(tuned)


def test_without_hashes_nothing_is_compared_and_quantised_ones_are_skipped():
    model = tiny.model("llama", torch.float32)
    edit = random_edit(model)
    older = replace(edit, base=replace(edit.base, others={}))
    older.base.check(with_lora_on_attention(model))
    proj = model.model.layers[0].self_attn.q_proj
    proj.weight = torch.nn.Parameter(proj.weight.data.to(torch.float8_e4m3fn), requires_grad=False)
    edit.base.check(model)


@pytest.mark.parametrize("order", [(1, 0), (0, 1)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_after_another_at_different_layers(dtype, order):
    model = tiny.model("llama", dtype)
    before = state(model)
    first = random_edit(model, (1,), seed=1)
    beside = random_edit(model, (3,), seed=3)
    first.apply(model)
    second = random_edit(model, (2,), seed=2)
    second.apply(model)
    edits = [first, second]
    for i in order:
        assert edits[i].revert(model).exact
    assert same(model, before)
    with pytest.raises(EditError, match="or were on that one, compose the edits"):
        second.apply(model)  # it was made on top of the first
    # known to be on the model, so an edit that was made without it goes beside it
    first.apply(model)
    beside.apply(model)
    stranger = copy.deepcopy(model)
    apart = random_edit(tiny.model("llama", dtype), (2,), seed=2)
    with pytest.raises(EditError, match=r"2 of \d+ parameters"):
        apart.apply(stranger)
    assert first.revert(model).exact
    assert beside.revert(model).exact
    assert same(model, before)


def test_with_the_base_the_others_do_not_matter():
    base = tiny.model("llama", torch.float32)
    first = random_edit(base, (1,), seed=1)
    with_first = copy.deepcopy(base)
    first.apply(with_first, keep=False)
    second = random_edit(with_first, (2,), seed=2)
    model = copy.deepcopy(with_first)
    second.apply(model, keep=False)
    assert second.revert(model, base).exact  # only the weight at layer 2 is put back
    assert same(model, state(with_first))


def test_what_compose_carries_on():
    base = tiny.model("llama", torch.float32)
    a, b = random_edit(base, (1,), seed=1), random_edit(base, (2, 3), seed=2)
    on_a = copy.deepcopy(base)
    a.apply(on_a, keep=False)
    c = random_edit(on_a, (2,), seed=3)
    for parts in ([a, b], [a, c], [b, a]):
        total = Edit.compose(parts)
        names = [u.name for u in total.updates]
        assert total.base.others == base_of(base, names).others
        total.base.check(base)
        with pytest.raises(EditError, match="not the base of the edit"):
            total.base.check(with_lora_on_attention(base))
    left = without(Edit.compose([a, b]), a)
    assert left.base == b.base
    older = replace(a, base=replace(a.base, others={}))
    assert Edit.compose([older, b]).base.others == {}
    assert without(Edit.compose([older, b]), b).base.others == {}


def test_what_compose_refuses():
    base = tiny.model("llama", torch.float32)
    a = random_edit(base, (1,), seed=1)
    on_a = copy.deepcopy(base)
    a.apply(on_a, keep=False)
    on_top = random_edit(on_a, (2,), seed=2)
    with pytest.raises(EditError, match=r"1 parameters .*does not change \('model\.layers\.1\.mlp"):
        Edit.compose([on_top, a])  # the wrong way round
    tuned = random_edit(with_lora_on_attention(base), (2,), seed=2)
    with pytest.raises(EditError, match=r"differ in 8 parameters .*q_proj"):
        Edit.compose([a, tuned])
    half = random_edit(copy.deepcopy(base).half(), (2,), seed=2)
    both = Edit.compose([a, half])  # cannot be told
    both.base.check(base)
    assert without(both, half).base == Base(
        a.base.model,
        a.base.weights,
        {n: h for n, h in a.base.others.items() if n != f"{half.updates[0].name}.weight"},
    )
