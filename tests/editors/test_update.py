"""The numbers of an edit and of its factors, without a model to put them on."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from goldenlayers.editors.edit import Update
from goldenlayers.errors import EditError
from tests import tiny
from tests.editors.edits import random_edit


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_numbers_of_an_edit(name):
    model = tiny.model(name, torch.float32)
    edit = random_edit(model, (2, 0), rank={0: 5, 2: 2}, dtype=torch.float64)
    assert (edit.rank, edit.layers) == (5, (0, 2))
    for update in edit.updates:
        delta = update.left @ update.right.T
        assert edit.norms[update.name] == pytest.approx(float(delta.norm()), rel=1e-12)
        weight = model.get_submodule(update.name).weight
        assert update.shape == tuple(weight.shape)
        stored = (delta.T if update.transposed else delta).reshape(-1)
        where = torch.tensor([0, 5, weight.numel() - 1])
        values, terms = update.at(where)
        assert torch.allclose(values, stored[where], rtol=1e-12, atol=1e-15)
        sizes = update.left.abs() @ update.right.abs().T
        sizes = (sizes.T if update.transposed else sizes).reshape(-1)
        assert torch.allclose(terms, sizes[where], rtol=1e-12, atol=0)
    text = repr(edit)
    assert "r-rome: 2 facts at layers 0, 2, rank 5, |dW| " in text


def test_norm_of_columns_that_cancel():
    left, right = torch.randn(4, 1), torch.randn(6, 1)
    update = Update(0, "a", False, torch.cat([left, -left], 1), torch.cat([right, right], 1))
    assert update.norm < 1e-6
    assert math.isnan(replace(update, left=update.left * math.nan).norm)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (torch.zeros(4, 2), torch.zeros(6, 3)),
        (torch.zeros(4), torch.zeros(6)),
        (torch.zeros(4, 0), torch.zeros(6, 0)),
        (torch.zeros(4, 1), torch.zeros(6, 1, dtype=torch.float64)),
        (torch.zeros(4, 1).half(), torch.zeros(6, 1).half()),
        (torch.zeros(4, 1).long(), torch.zeros(6, 1).long()),
    ],
)
def test_factors_that_are_none(left, right):
    with pytest.raises(EditError, match=r"expected \(d_out, r\) and \(d_in, r\)"):
        Update(0, "site", False, left, right)


def test_equality():
    model = tiny.model("llama", torch.float32)
    edit, again, other = (random_edit(model, seed=s) for s in (0, 0, 1))
    assert edit == again
    assert edit.updates[0] in again.updates
    assert hash(edit.updates[0]) == hash(again.updates[0])
    assert edit != other
    assert edit.updates[0] != "site"
    with pytest.raises(EditError, match="several updates for one site"):
        replace(edit, updates=edit.updates * 2)
