"""Batches of facts in `edit`: all at once, one after another, and in between."""

from __future__ import annotations

import pytest
import torch

import goldenlayers as gl
from goldenlayers.editors.batches import keys_of
from goldenlayers.editors.rome import RROME
from goldenlayers.editors.update import Update
from goldenlayers.errors import EditError, FactError, SettingsError
from goldenlayers.models.content import content_hash
from tests import tiny
from tests.study.test_sequence import FACTS, moments

HOW = {"templates": ("", "Blue Kite. "), "lr": 0.1, "steps": 4}


def dense(edit):
    return [u.left @ u.right.T for u in edit.updates]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_batches_are_edits_on_top_of_each_other(name):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    known = moments(model, [1, 2])
    more = {"covariance": known, "threshold": 1.0, "l2": 0.1, **HOW}
    before = content_hash(model)
    found = gl.edit(model, tokenizer, FACTS, [1, 2], "alphaedit", batch=2, **more)
    assert content_hash(model) == before
    parts = []
    for n in (0, 2, 4):
        earlier = gl.Edit.compose(parts) if parts else None
        part = gl.edit(
            model, tokenizer, FACTS[n : n + 2], [1, 2], "alphaedit", earlier=earlier, **more
        )
        parts.append(part)
        part.apply(model)
    by_hand = gl.Edit.compose(parts)
    for ours, theirs in zip(dense(found), dense(by_hand), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8)
    assert [u.keys.shape[1] for u in found.updates] == [5, 5]
    assert [o.fact.id for o in found.outcomes] == [f.id for f in FACTS]
    assert found.settings["batch"] == 2
    parts[2].revert(model)
    parts[1].revert(model)
    parts[0].revert(model)
    assert content_hash(model) == before
    # batches of another size are another edit
    whole = gl.edit(model, tokenizer, FACTS, [1, 2], "alphaedit", **more)
    assert float((dense(whole)[0] - dense(found)[0]).abs().max()) > 1e-6
    assert "batch" not in whole.settings


def test_rome_is_the_same_in_any_batches():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    whole, *parts = (gl.edit(model, tokenizer, FACTS, 1, batch=n, **HOW) for n in (None, 1, 2))
    for part in parts:
        torch.testing.assert_close(dense(part), dense(whole), rtol=0, atol=1e-9)


def test_refusals(monkeypatch):
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    with pytest.raises(SettingsError, match="batch 0: expected a whole number above 0"):
        gl.edit(model, tokenizer, FACTS, 1, batch=0, **HOW)
    long = gl.Fact("long", "Vell", "so " * 150 + "The capital of Vell is", "a", "b")
    edited = []
    whole = RROME.edit
    monkeypatch.setattr(RROME, "edit", lambda self, r: edited.append(r) or whole(self, r))
    with pytest.raises(FactError, match="'long'"):  # before the first batch is made
        gl.edit(model, tokenizer, [*FACTS, long], 1, batch=1, **HOW)
    assert not edited

    def broken(self, request):
        raise EditError("not finite")

    monkeypatch.setattr(RROME, "edit", broken)
    with pytest.raises(EditError, match="not finite"):
        gl.edit(model, tokenizer, FACTS, 1, batch=1, **HOW)


def test_keys():
    def update(name, keys):
        kept = None if keys is None else torch.full((3, keys), float(keys))
        return Update(0, name, False, torch.ones(2, 1), torch.ones(3, 1), kept)

    earlier = {"a": torch.zeros(3, 1), "b": torch.zeros(3, 2)}
    found = keys_of([update("a", 2), update("c", 1), update("d", None)], earlier)
    assert found["a"].tolist() == [[0.0, 2.0, 2.0]] * 3
    assert {name: keys.shape[1] for name, keys in found.items()} == {"a": 3, "b": 2, "c": 1}
    assert earlier["a"].shape == (3, 1)
