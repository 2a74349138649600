"""Each fact alone at each layer, against a plain loop that edits, applies, scores and reverts."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import goldenlayers as gl
from goldenlayers.errors import EditError, FactError, SettingsError
from goldenlayers.facts import LocalityProbe
from goldenlayers.metrics.evaluation import Evaluation
from goldenlayers.sweep import attempt
from tests import tiny
from tests.editors.test_edit import same, state
from tests.study.test_sequence import moments

VALUE = {"lr": 0.1, "steps": 4}
HOW = {"templates": ("", "Blue Kite. "), "fluency": False, **VALUE}
FACTS = [
    replace(
        f,
        rephrase_prompts=(f"They say that {f.prompt}",),
        locality={"same_relation": (LocalityProbe("The capital of Vell is", "Rivermouth"),)},
    )
    for f in tiny.FACTS[:3]
]


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt"])
def test_equal_to_editing_scoring_and_reverting_by_hand(name):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    before = state(model)
    result = gl.edit_each(model, tokenizer, iter(FACTS), [2, np.int64(0)], **HOW)
    assert same(model, before)
    assert [one.layer for one in result.layers] == [2, 0]
    for one in result.layers:
        parts, outcomes = [], []
        for fact in FACTS:
            base = gl.baseline(model, tokenizer, [fact], fluency=False)
            edit = gl.edit(model, tokenizer, fact, one.layer, templates=HOW["templates"], **VALUE)
            edit.apply(model)
            parts.append(gl.evaluate(model, tokenizer, [fact], baseline=base, fluency=False))
            assert edit.revert(model).exact
            outcomes += edit.outcomes
        by_hand = Evaluation.join(parts)
        assert one.evaluation.facts == by_hand.facts
        assert one.evaluation.outputs == by_hand.outputs
        assert one.outcomes == tuple(outcomes)
        assert len({f.scores["nll_new"] for f in by_hand.facts}) == len(FACTS)
        assert by_hand.mean("nll_new") != by_hand.mean("nll_new", before=True)
    assert same(model, before)


def test_the_layer_of_an_editor_of_windows_is_the_last_of_one():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    more = {"covariance": moments(model, [0, 1, 2]), "lam": 0.1, **HOW}
    found = gl.edit_each(model, tokenizer, FACTS[:2], [2, 0], "memit", window=2, **more)
    del more["fluency"]
    for one, window in zip(found.layers, ([1, 2], [0]), strict=True):
        for outcome, fact in zip(one.outcomes, FACTS[:2], strict=True):
            edit = gl.edit(model, tokenizer, fact, window, "memit", **more)
            assert outcome == edit.outcomes[0]
            assert outcome.layers == tuple(window)
    assert set(found.settings["covariance"]) == {"0", "1", "2"}
    with pytest.raises(SettingsError, match="the covariance has no layer 0"):
        gl.edit_each(
            model, tokenizer, FACTS, [1], "memit", window=2, **HOW, covariance=moments(model, [1])
        )
    gemma = tiny.model("gemma3_text"), tiny.tokenizer("gemma3_text")
    known = moments(gemma[0], [0, 1])
    with pytest.raises(SettingsError, match="its window of 2 layers cannot be edited"):
        gl.edit_each(*gemma, FACTS, [1], "memit", window=2, **HOW, covariance=known)


def test_the_unedited_model_is_asked_once(monkeypatch):
    from goldenlayers.study import each

    asked = []

    def counting(*args, **kwargs):
        asked.append(len(args[2]))
        return gl.baseline(*args, **kwargs)

    monkeypatch.setattr(each, "ask_unedited", counting)
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    bars = []
    gl.edit_each(model, tokenizer, FACTS, [0, 1, 2], **HOW, progress=lambda *bar: bars.append(bar))
    assert asked == [3]
    assert bars[-1] == ("edits", 9, 9)
    given = gl.baseline(model, tokenizer, FACTS, fluency=False)
    gl.edit_each(model, tokenizer, FACTS, [0], baseline=given, **HOW)
    assert asked == [3]


@pytest.fixture(scope="module")
def result():
    facts = [*FACTS[:2], replace(FACTS[2], rephrase_prompts=(), locality={})]
    return gl.edit_each(
        tiny.model("llama", torch.float32), tiny.tokenizer("llama"), facts, [0, 3], **HOW
    )


def test_the_files(result, tmp_path):
    written = result.save(tmp_path / "out")
    assert sorted(p for p in (tmp_path / "out").rglob("*") if p.is_file()) == sorted(written)
    assert not list(tmp_path.rglob(".partial-*"))
    data = json.loads(
        (tmp_path / "out" / "layers.json").read_text(encoding="utf-8"), parse_constant=pytest.fail
    )
    assert data == json.loads(json.dumps(result.to_dict()))
    assert [layer["layer"] for layer in data["layers"]] == [0, 3]
    assert data["settings"]["facts"] == ["1", "2", "3"]
    assert data["settings"]["layers"] == [0, 3]
    assert data["settings"]["lr"] == 0.1
    assert data["settings"]["templates"]["prefixes"] == ["", "Blue Kite. "]
    unreached = data["layers"][1]
    assert {o["status"] for o in unreached["outcomes"]} == {"unreached"}
    assert unreached["converged"] == 0
    for layer, one in zip(data["layers"], result.layers, strict=True):
        loaded = Evaluation.load(tmp_path / "out" / layer["folder"])
        assert loaded.facts == one.evaluation.facts
    rows = list(csv.DictReader((tmp_path / "out" / "layers.csv").open(encoding="utf-8")))
    assert [row["layer"] for row in rows] == ["0", "3"]
    for row, one in zip(rows, result.layers, strict=True):
        assert float(row["rewrite"]) == one.evaluation.mean("rewrite")
        assert row["fluency"] == ""
        spread = one.evaluation.standard_error("nll_new")
        assert float(row["nll_new_standard_error"]) == spread


def test_a_fact_for_which_there_is_no_update_does_not_end_the_study(monkeypatch):
    from goldenlayers.editors.rome import RROME

    whole = RROME.edit

    def failing(self, request):
        if request.facts[0].id == "2":
            raise EditError("the edit direction is at right angles to the key")
        return whole(self, request)

    monkeypatch.setattr(RROME, "edit", failing)
    model = tiny.model("llama")
    before = state(model)
    result = gl.edit_each(model, tiny.tokenizer("llama"), FACTS, [1], **HOW)
    assert same(model, before)
    (one,) = result.layers
    bad = one.outcomes[1]
    assert bad.status == "not converged"
    assert "no update was made: the edit direction is at right angles" in bad.reason
    scored = one.evaluation.facts[1]
    assert scored.scores == scored.before
    json.dumps(result.to_dict(), allow_nan=False)


def test_refusals_come_before_any_work(monkeypatch):
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    monkeypatch.setattr(attempt.Attempts, "edit", lambda *args: pytest.fail("edited"))

    def refused(error, match, facts=FACTS, layers=(1,), **more):
        with pytest.raises(error, match=match):
            gl.edit_each(model, tokenizer, facts, layers, **{**HOW, **more})

    refused(SettingsError, "expected one or more, none twice", layers=[])
    refused(SettingsError, "expected one or more, none twice", layers=[1, 1])
    refused(SettingsError, "layer 9 does not exist", layers=[0, 9])
    refused(SettingsError, "editor 'x' is unknown", editor="x")
    refused(SettingsError, "the covariance has no layer 2", layers=[2, 1], covariance={})
    refused(FactError, "no facts to edit", facts=[])
    refused(FactError, "two facts have the id '1'", facts=[FACTS[0], FACTS[0]])
    long = replace(FACTS[0], id="long", prompt="Norland and " * 60 + "Norland is")
    refused(FactError, "fact 'long': .* the model's context is 128", facts=[*FACTS, long])


def test_fluency_of_the_first_facts_only():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    how = {"templates": "bare", "lr": 0.1, "steps": 2, "generate": False}
    found = gl.edit_each(model, tokenizer, tiny.FACTS[:3], [1], fluency_facts=2, **how)
    every = gl.edit_each(model, tokenizer, tiny.FACTS[:3], [1], **how)
    values = [f.scores["fluency"] for f in found.layers[0].evaluation.facts]
    assert values[2] is None
    assert values[:2] == [f.scores["fluency"] for f in every.layers[0].evaluation.facts][:2]
    assert found.layers[0].evaluation.count("fluency") == 2
    assert found.settings["fluency_facts"] == 2
    with pytest.raises(SettingsError, match="fluency_facts 0"):
        gl.edit_each(model, tokenizer, tiny.FACTS[:3], [1], fluency_facts=0, **how)
