"""A model taken apart and put together again is the same model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from goldenlayers.cluster.parcel import pack, unpack
from goldenlayers.editors.update import Update
from goldenlayers.editors.weights import updates_applied
from goldenlayers.errors import ModelError
from goldenlayers.models.sites import find_sites
from tests import tiny


def through(model, tokenizer):
    parcel, arrays = pack(model, tokenizer)
    for array in arrays:
        array.flags.writeable = False  # as Ray hands them out
    return unpack(parcel, arrays), arrays


@pytest.mark.parametrize("family", tiny.MODELS)
def test_the_model_says_the_same(family):
    model, tokenizer = tiny.model(family), tiny.tokenizer(family)
    (copy, same), _ = through(model, tokenizer)
    ids = torch.tensor([tokenizer("The capital of Norland is")["input_ids"]])
    with torch.no_grad():
        assert torch.equal(copy(ids).logits, model.eval()(ids).logits)
    assert same("The capital of Norland is") == tokenizer("The capital of Norland is")
    assert not copy.training
    assert not any(p.requires_grad for p in copy.parameters())
    ties = [[i for i, q in enumerate(m.parameters()) if q is p] for m in (model, copy)
            for p in m.parameters()]  # fmt: skip
    assert ties[: len(ties) // 2] == ties[len(ties) // 2 :]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_dtype_travels(dtype):
    model = tiny.model("llama", dtype)
    (copy, _), _ = through(model, tiny.tokenizer("llama"))
    for one, other in zip(model.parameters(), copy.parameters(), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_numbers_and_truth_values_alone_travel_too():
    model = nn.Linear(2, 2)
    model.register_buffer("number", torch.tensor(3.5))
    model.register_buffer("mask", torch.tensor([True, False]))
    (copy, _), _ = through(model, None)
    assert copy.number == 3.5
    assert copy.mask.tolist() == [True, False]


def test_weights_are_the_arrays_themselves_and_an_edit_leaves_them():
    model = tiny.model("llama")
    (copy, _), arrays = through(model, tiny.tokenizer("llama"))
    before = [np.array(a) for a in arrays]
    site = find_sites(copy)[1]
    weight = copy.get_submodule(site.name).weight
    assert any(weight.data_ptr() == a.ctypes.data for a in arrays)
    left, right = torch.ones(weight.shape[0], 1), torch.ones(weight.shape[1], 1)
    update = Update(site.layer, site.name, False, left, right)
    with updates_applied(copy, [update]):
        assert not torch.equal(weight, model.get_submodule(site.name).weight)
    assert torch.equal(weight, model.get_submodule(site.name).weight)
    assert all((a == b).all() for a, b in zip(arrays, before, strict=True))


def test_what_cannot_travel_is_refused():
    with torch.device("meta"):
        nowhere = nn.Linear(2, 2)
    with pytest.raises(ModelError, match="meta device"):
        pack(nowhere, None)

    class Packed(nn.Parameter):
        pass

    model = nn.Linear(2, 2)
    model.weight = Packed(torch.zeros(2, 2))
    with pytest.raises(ModelError, match=r"Packed.*without --quantize"):
        pack(model, None)
    odd = nn.Linear(2, 2)
    odd.lock = __import__("threading").Lock()
    with pytest.raises(ModelError, match="cannot be sent to workers"):
        pack(odd, None)
