"""`goldenlayers.edit`: what it takes, what it refuses, and what it leaves as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import goldenlayers as gl
from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.errors import FactError, SettingsError, SiteError
from goldenlayers.facts import FactSet
from goldenlayers.locators.window import window_of
from goldenlayers.models.sites import find_sites
from tests import tiny
from tests.editors.test_edit import same, state

HOW = {"templates": "bare", "lr": 0.1, "steps": 3}
FACTS = tiny.FACTS[:2]


@pytest.fixture(scope="module")
def llama():
    return tiny.model("llama"), tiny.tokenizer("llama")


@pytest.fixture(scope="module")
def ranking(llama):
    return gl.find(*llama, tiny.FACTS, method="lga", fence=None)


def test_one_fact_several_and_a_generator(llama):
    one = gl.edit(*llama, FACTS[0], 1, **HOW)
    assert gl.edit(*llama, [FACTS[0]], 1, **HOW).updates == one.updates
    several = gl.edit(*llama, FACTS, 1, **HOW)
    assert gl.edit(*llama, (f for f in FACTS), 1, **HOW).updates == several.updates
    assert gl.edit(*llama, FactSet(tuple(FACTS)), 1, **HOW).updates == several.updates
    assert [o.fact for o in several.outcomes] == FACTS
    assert (one.rank, several.rank) == (1, 2)


@pytest.mark.parametrize("layer", [np.int64(2), np.uint8(2), torch.tensor(2)], ids=type)
def test_any_whole_number_is_a_layer(llama, layer):
    found = gl.edit(*llama, FACTS[0], layer, **HOW)
    assert found.layers == (2,)
    assert type(found.settings["layers"][0]) is int
    assert found.updates == gl.edit(*llama, FACTS[0], 2, **HOW).updates


@pytest.mark.parametrize("layer", ["2", "last", 2.0, None, True, ["2"]], ids=repr)
def test_what_is_no_layer(llama, layer):
    with pytest.raises(SettingsError, match="expected a number, several, a ranking or 'auto'"):
        gl.edit(*llama, FACTS[0], layer, **HOW)


def test_a_window_and_who_takes_it(llama):
    model, tokenizer = llama
    C = gl.key_covariance(model, tokenizer, [1, 2, 3], tokens=200, cache=False)
    how = {**HOW, "covariance": C}
    found = gl.edit(*llama, FACTS[:2], [2, 1], "memit", **how)
    assert found.layers == (1, 2)
    assert found.settings["layers"] == [1, 2]
    assert [o.layers for o in found.outcomes] == [(1, 2)] * 2
    assert gl.edit(*llama, FACTS[0], 2, "emmet", **how).layers == (2,)
    for editor in ("r-rome", "emmet"):
        with pytest.raises(SettingsError, match=f"{editor} edits one layer, 2 were given"):
            gl.edit(*llama, FACTS[0], [1, 2], editor, **how)
    with pytest.raises(SettingsError, match="the covariance has no layer 0"):
        gl.edit(*llama, FACTS[0], [0, 1], "memit", **how)
    with pytest.raises(SettingsError, match="memit needs the covariance of the keys"):
        gl.edit(*llama, FACTS[0], [1, 2], "memit", **HOW)


@pytest.mark.parametrize("editor", ["ft-l", "ft-m", "lora"])
def test_editors_that_train_the_weight(llama, editor):
    model = llama[0]
    before = state(model)
    found = gl.edit(*llama, FACTS, 1, editor, steps=3)
    assert same(model, before)
    assert found.layers == (1,)
    assert all(o.nll_after < o.nll_before for o in found.outcomes)
    with pytest.raises(SettingsError, match="one layer"):
        gl.edit(*llama, FACTS, [1, 2], editor, steps=3)


def test_a_ranking_gives_a_window(llama, ranking):
    C = gl.key_covariance(*llama, tokens=200, cache=False)
    found = gl.edit(*llama, FACTS[0], ranking, "memit", covariance=C, window=2, **HOW)
    assert found.layers == window_of(ranking, 2, 2)
    # a model with fewer layers than the published window
    assert gl.edit(*llama, FACTS[0], ranking, "memit", covariance=C, **HOW).layers == (0, 1, 2)


def test_later_edits_spare_the_keys_of_earlier_ones(llama):
    model, tokenizer = llama
    C = gl.key_covariance(model, tokenizer, [1], tokens=200, cache=False)
    how = {**HOW, "covariance": C, "threshold": 1.0, "relative": True}
    first = gl.edit(*llama, FACTS[:2], 1, "alphaedit", **how)
    assert first.updates[0].keys.shape[1] == 2
    with first.applied(model):
        spared = gl.edit(*llama, tiny.FACTS[2], 1, "alphaedit", earlier=first, **how)
        careless = gl.edit(*llama, tiny.FACTS[2], 1, "alphaedit", **how)
    assert spared.updates != careless.updates
    # the state goes on with the composed edit
    both = gl.Edit.compose([first, spared])
    assert torch.equal(both.updates[0].keys[:, :2], first.updates[0].keys)
    assert both.updates[0].keys.shape[1] == 3


def test_layers_that_do_not_exist(llama):
    for layer in (4, -1, 10**30):
        with pytest.raises(SettingsError, match=f"layer {layer} does not exist"):
            gl.edit(*llama, FACTS[0], layer, **HOW)


def test_a_ranking_gives_its_golden_layer(llama, ranking):
    found = gl.edit(*llama, FACTS[0], ranking, **HOW)
    assert found.layers == (ranking.golden,)
    assert found.settings["layer_chosen_by"] == "lga on 7 facts of memory"
    partial = gl.find(*llama, tiny.FACTS, method="lga", layers="1-2")
    assert gl.edit(*llama, FACTS[0], partial, **HOW).layers == (partial.golden,)


def test_auto_takes_the_bundled_proxy_facts():
    model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
    found = gl.edit(model, tokenizer, FACTS[0], seed=3, **HOW)
    expected = gl.find(model, tokenizer, gl.bundled_facts(), method="lga", seed=3)
    assert found.layers == (expected.golden,)
    assert "lga on 1" in found.settings["layer_chosen_by"]
    assert "bundled" in found.settings["layer_chosen_by"]


def test_a_ranking_of_another_model(llama, ranking):
    def refused(model, given, match):
        with pytest.raises(SettingsError, match=match):
            gl.edit(model, llama[1], FACTS[0], given, **HOW)

    other = gl.find(tiny.model("gpt2"), tiny.tokenizer("gpt2"), tiny.FACTS, method="lga")
    refused(llama[0], other, "the ranking is of another model, .*: it has .* weights, this model")
    unnamed = replace(other, model={})
    refused(llama[0], unnamed, r"or of another edit site: it has 'transformer\.h\.0\.mlp\.c_proj'")
    deeper = replace(ranking, golden=7, settings={}, model={})
    refused(llama[0], deeper, "its golden layer is 7, this model has layers 0 to 3")
    for damaged in (None, "1", [1], True, 1.5):
        refused(llama[0], replace(deeper, golden=damaged), "its golden layer is")
    attention = gl.find(*llama, tiny.FACTS, method="lga", site="model.layers.{}.self_attn.o_proj")
    refused(llama[0], attention, "or of another edit site.*give the same site to both")
    same_site = {"site": "model.layers.{}.self_attn.o_proj"}
    assert gl.edit(*llama, FACTS[0], attention, **same_site, **HOW).layers == (attention.golden,)
    # what a person has written by hand says nothing of sites, and is believed
    assert gl.edit(*llama, FACTS[0], replace(deeper, golden=2), **HOW).layers == (2,)


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        (FACTS[0].to_record(), "found a dict; expected a goldenlayers.Fact"),
        ([FACTS[0].to_record()], "found a dict among them"),
        ("facts.jsonl", "found a str; expected"),
        (None, "found a NoneType"),
        (3, "found a int"),
        ([], "no facts to edit"),
        ([FACTS[0], FACTS[1], replace(FACTS[1], id="1")], "two facts have the id '1'"),
        (replace(FACTS[0], subject="Sudland"), "Sudland"),
        (replace(FACTS[0], prompt="so " * 200 + FACTS[0].prompt), "fact '1': .* context is 128"),
    ],
)
def test_what_are_no_facts(llama, facts, match):
    with pytest.raises(FactError, match=match):
        gl.edit(*llama, facts, 1, **HOW)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"editor": "mend"}, "editor 'mend' is unknown; expected one of r-rome, rome"),
        ({"learning_rate": 1}, "has no setting 'learning_rate'; it has lr, "),
        ({"lr": float("nan")}, "lr nan: expected"),
        ({"lr": "fast"}, "lr 'fast': expected a number above 0"),
        ({"steps": 0}, "steps 0"),
        ({"clamp": -1.0}, "clamp -1.0"),
        ({"templates": "long"}, "templates 'long' are unknown"),
        ({"seed": -1}, "seed -1: expected a whole number, 0 or more"),
        ({"seed": 0.5}, "seed 0.5: expected a whole number"),
        ({"covariance": {}}, r"has no layer 1; compute it with key_covariance\(..., layers=\[1\]"),
        ({"covariance": 5}, "covariance: found a int; expected None or a mapping"),
        ({"covariance": {1: KeyMoment(1, "s", torch.eye(3), 9)}}, "is 3 wide, the keys of .* 48"),
        ({"site": "model.layers.{}.nope"}, "no module"),
    ],
)
def test_wrong_settings(llama, settings, match):
    with pytest.raises(SettingsError, match=match):
        gl.edit(*llama, FACTS, 1, **{**HOW, **settings})


def test_what_is_no_model(llama):
    with pytest.raises(SiteError, match="Linear has no configuration; expected a model"):
        gl.edit(torch.nn.Linear(2, 2), llama[1], FACTS, 1)


def test_the_covariance_has_a_say(llama):
    draw = torch.randn(200, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moment = KeyMoment(1, "model.layers.1.mlp.down_proj", draw.T @ draw, 200, {"text": "x"})
    plain = gl.edit(*llama, FACTS[0], 1, **HOW)
    found = gl.edit(*llama, FACTS[0], 1, covariance={1: moment}, **HOW)
    assert plain.settings["covariance"] is None
    assert found.settings["covariance"]["1"]["of"] == {"text": "x"}
    assert found.settings["covariance"]["1"]["tokens"] == 200
    u = torch.linalg.solve(moment.covariance(), plain.updates[0].right[:, 0])
    cosine = torch.cosine_similarity(found.updates[0].right[:, 0], u, dim=0)
    assert float(cosine) == pytest.approx(1)
    assert found.updates != plain.updates


def test_the_covariance_of_another_model_is_refused(llama):
    other = tiny.model("qwen2"), tiny.tokenizer("qwen2")
    theirs = gl.key_covariance(*other, layers=[1], tokens=64, length=16, cache=False)
    with pytest.raises(SettingsError, match=r"layer 1 is of another model: its .* differs"):
        gl.edit(*llama, FACTS[0], 1, covariance=theirs, **HOW)
    elsewhere = KeyMoment(1, "model.layers.2.mlp.down_proj", torch.eye(48), 9)
    with pytest.raises(SettingsError, match=r"of 'model.layers.2.mlp.down_proj', not"):
        gl.edit(*llama, FACTS[0], 1, covariance={1: elsewhere}, **HOW)
    own = gl.key_covariance(*llama, layers=[1], tokens=64, length=16, cache=False)
    model, tokenizer = tiny.model("llama"), llama[1]
    with torch.no_grad():  # an edited model: the covariance of the unedited one serves it
        model.model.layers[1].mlp.down_proj.weight.mul_(1.01)
    assert gl.edit(model, tokenizer, FACTS[0], 1, covariance=own, **HOW).updates


def test_the_ridge_can_be_set(llama):
    draw = torch.randn(60, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moment = KeyMoment(1, "model.layers.1.mlp.down_proj", draw.T @ draw, 60)
    key = gl.edit(*llama, FACTS[0], 1, **HOW).updates[0].right[:, 0]
    for ridge in (0.01, 10.0):
        found = gl.edit(*llama, FACTS[0], 1, covariance={1: moment}, ridge=ridge, **HOW)
        u = torch.linalg.solve(moment.covariance(ridge), key)
        assert float(torch.cosine_similarity(found.updates[0].right[:, 0], u, dim=0)) > 1 - 1e-9
        assert found.settings["ridge"] == ridge
    with pytest.raises(SettingsError, match="ridge -1"):
        gl.edit(*llama, FACTS[0], 1, ridge=-1, **HOW)


@pytest.mark.parametrize("name", ["subject", "prompt", "target_new"])
def test_blank_facts_are_refused(llama, name):
    fact = replace(FACTS[0], **{name: "  "})
    with pytest.raises(FactError, match=f"fact '1': its {name} is empty"):
        gl.edit(*llama, fact, 1, **HOW)


def test_inside_inference_mode(llama):
    expected = gl.edit(*llama, FACTS[0], 1, **HOW)
    with torch.inference_mode():
        found = gl.edit(*llama, FACTS[0], 1, **HOW)
    assert found.updates == expected.updates
    assert found.outcomes[0].details["computed"] == "prefix reuse"


class StopError(Exception):
    """What a caller's own code may raise."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopError])
@pytest.mark.parametrize("name", ["llama", "gpt2", "opt"])
def test_the_model_is_as_before_also_when_stopped(name, error):
    model, tokenizer = tiny.model(name, torch.bfloat16).train(), tiny.tokenizer(name)
    weight = model.get_submodule(find_sites(model)[1].name).weight
    weight.requires_grad_(False)
    before = state(model)
    seen = []

    def stop(step, delta):
        seen.append(step)
        if len(seen) == 5:  # in the second fact, while the first one is in the weights
            assert not same(model, before)
            raise error

    with pytest.raises(error):
        gl.edit(model, tokenizer, FACTS, 1, on_step=stop, **HOW)
    assert len(seen) == 5
    assert same(model, before)
    assert model.training
    assert not weight.requires_grad
    assert all(p.requires_grad for p in model.parameters() if p is not weight)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    gl.edit(model, tokenizer, FACTS, 1, **HOW)
    assert same(model, before)


def test_the_same_answer_twice_is_no_trouble(llama):
    again = replace(FACTS[0], id="again")
    found = gl.edit(*llama, [FACTS[0], again], 1, **HOW)
    assert found.rank == 2
    assert [o.fact.id for o in found.outcomes] == ["1", "again"]
