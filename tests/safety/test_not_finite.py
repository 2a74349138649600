"""NaN where numbers should be: said in words, and never a ranking that looks like a choice."""

from __future__ import annotations

import dataclasses
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import goldenlayers as gl
from goldenlayers.covariance.compute import key_covariance
from goldenlayers.errors import LocatorError, ModelError, SettingsError
from goldenlayers.facts import Fact
from goldenlayers.models.finite import not_finite
from tests import tiny
from tests.sweep.test_engine import FACTS, VALUE

METHODS = (
    "lga", "robust-lga:rank", "gradient-norm", "attribution-patching", "cma", "brute-force",
    "verified", "staged", "predicted",
)  # fmt: skip
SITE = "model.layers.2.mlp.down_proj.weight"


def broken(value=math.nan):
    model = tiny.model("llama", torch.float32)
    with torch.no_grad():
        model.model.layers[2].mlp.down_proj.weight[0, :2] = value
    return model


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("method", METHODS)
def test_a_layer_with_nan_is_named_and_nothing_is_chosen(method, value):
    own = {"traced": "own"} if method in ("cma", "attribution-patching") else {}
    with pytest.raises(ModelError, match=rf"NaN or infinity: {SITE} \(2 of them\); .* sound copy"):
        gl.find(broken(value), tiny.tokenizer("llama"), FACTS, method, **own)


def test_nor_is_it_judged_summed_over_or_edited(tmp_path):
    model, tokenizer = broken(), tiny.tokenizer("llama")
    split = [dataclasses.replace(f, split=s) for f, s in zip(FACTS, ("proxy", "test", "test"),
                                                           strict=True)]  # fmt: skip
    with pytest.raises(ModelError, match=SITE):
        gl.compare(model, tokenizer, split, ("middle",), proxy=1, repeats=1)
    with pytest.raises(ModelError, match=SITE):
        key_covariance(model, tokenizer, tokens=50, length=20, cache=tmp_path)
    made = gl.edit(model, tokenizer, FACTS[0], layer=1, **VALUE)
    (outcome,) = made.outcomes
    assert (made.updates, outcome.status) == ((), "not converged")
    assert "logits are not finite" in outcome.reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["brute-force", "middle"])
def test_the_command_ends_in_one_line_and_writes_nothing(method, cli, llama, facts_file, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(llama, folder)
    weights = load_file(folder / "model.safetensors")
    weights[SITE][:] = math.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    command = ("find", "--model", folder, "--facts", facts_file, "--method", method)
    message = cli(*command, "--out", tmp_path / "out").message
    assert f"{SITE} (1,536 of them)" in message
    assert not (tmp_path / "out").exists()


def test_many_weights_are_counted_and_an_overflow_is_told_from_them():
    model = broken()
    for layer in model.model.layers:
        layer.mlp.up_proj.weight.data.fill_(math.nan)
    assert "and 2 more weights; every answer" in str(not_finite(model))
    narrow = tiny.model("llama", torch.float16)
    narrow.model.norm.weight.data.fill_(60000.0)
    narrow.lm_head.weight.data.fill_(60000.0)
    with pytest.raises(ModelError, match=r"in float16, though its weights are not: .*wider dtype"):
        gl.find(narrow, tiny.tokenizer("llama"), FACTS, method="lga")


def bad_fact(model, tokenizer):
    """A fact that alone has a token whose embedding is NaN."""
    bad = dataclasses.replace(
        FACTS[0], id="bad", subject="Zanzibar Qux", prompt="Zanzibar Qux is in",
        rephrase_prompts=("In short, Zanzibar Qux is in",), portability={},
    )  # fmt: skip
    texts = [p for f in FACTS for p in (
        f"{f.prompt} {f.target_new}", f"{f.prompt} {f.target_old}", *f.rephrase_prompts,
        *(probe.prompt for probes in f.locality.values() for probe in probes),
        *(f"{p.prompt} {' '.join(p.answers)}" for probes in f.portability.values() for p in probes),
    )]  # fmt: skip
    used = {token for text in texts for token in tokenizer(text).input_ids} | set(range(8))
    own = next(t for t in tokenizer(bad.prompt).input_ids if t not in used)
    model.model.embed_tokens.weight.data[own] = math.nan
    return bad


def test_a_fact_that_gives_nan_is_told_and_the_others_are_edited_as_ever():
    tokenizer = tiny.tokenizer("llama")
    alone = gl.find(
        tiny.model("llama", torch.float64), tokenizer, FACTS, "brute-force", editor_settings=VALUE
    )
    model = tiny.model("llama", torch.float64)
    bad = bad_fact(model, tokenizer)
    found = gl.find(model, tokenizer, [*FACTS, bad], "brute-force", editor_settings=VALUE)
    assert found.fact_scores["objective"][:3] == pytest.approx(alone.fact_scores["objective"])
    # wherever it is edited it says the same, so that it has no say in the choice
    assert len({*map(float, found.fact_scores["objective"][3])}) == 1
    assert found.golden == alone.golden
    with pytest.raises(LocatorError, match="none of the 1 facts"):
        gl.find(model, tokenizer, [bad], "lga")


def test_an_update_that_is_not_finite_is_no_edit_and_the_run_goes_on():
    model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
    before = {n: p.clone() for n, p in model.named_parameters()}
    with pytest.raises(
        SettingsError, match=r"lr 1e\+38: expected a number above 0, at most 1e\+30"
    ):
        gl.edit(model, tokenizer, FACTS, layer=1, lr=1e38)  # Adam's own first step is 10 lr
    wild = VALUE | {"lr": 1e30, "clamp": 1e37, "weight_decay": 0.0}
    found = gl.find(model, tokenizer, FACTS, "brute-force", editor_settings=wild)
    assert [s.more["converged"] for s in found.layers] == [0.0] * 4
    made = gl.edit(model, tokenizer, FACTS, layer=1, **wild)
    assert {o.status for o in made.outcomes} == {"not converged"}
    for update in made.updates:
        assert math.isfinite(update.norm)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_a_fact_that_never_converges_is_told_and_the_run_goes_on():
    """Its new answer has a token that the model cannot say; the fact beside it is as alone."""
    model, tokenizer = tiny.model("llama", torch.float64), tiny.tokenizer("llama")
    model.lm_head.weight.data.mul_(4)  # so that edits can take
    takes = Fact("takes", "Norland", "They went to Norland", "game", "and")
    settings = {"lr": 0.5, "clamp": 20.0}
    alone = gl.edit(model, tokenizer, takes, layer=2, **settings).outcomes[0]
    assert alone.status == "converged", alone.reason
    said = {t for f in (takes, FACTS[0]) for t in tokenizer(f"{f.prompt} {f.target_new}").input_ids}
    never = next(t for t in tokenizer(FACTS[1].target_new).input_ids if t not in said)

    def mute(module, args, logits):
        return logits - 1e3 * torch.nn.functional.one_hot(torch.tensor(never), logits.shape[-1])

    model.lm_head.register_forward_hook(mute)
    facts = [FACTS[1], takes]
    found = gl.find(model, tokenizer, facts, "brute-force", layers=[2], editor_settings=settings)
    assert found.layers[0].more["converged"] == 0.5
    both = gl.edit(model, tokenizer, facts, layer=2, **settings).outcomes
    assert [o.status for o in both] == ["not converged", "converged"]
    assert "still costs" in both[0].reason
