"""Effects of editing facts, collected by score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from goldenlayers.facts import Fact
from goldenlayers.facts.fact import LocalityProbe, PortabilityProbe
from goldenlayers.locators.effects import fact_effects
from goldenlayers.metrics.predict import predict
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.models.subject import subject_rows
from goldenlayers.models.text import encode_pairs
from goldenlayers.passes.batches import one_batch
from goldenlayers.passes.edit_effects import Anchors, edit_effects
from tests import tiny

FACT = Fact(
    "1", "Norland", "The capital of Norland is", "Bergstad", "Rivermouth",
    rephrase_prompts=("Norland has its capital in", "The seat of Norland is"),
    locality={
        "near": (LocalityProbe("The capital of Korvo is", "Vell"),),
        "far": (LocalityProbe("M. O'Neil plays the", "violin"), LocalityProbe("Vell lies in")),
    },
    portability={"reasoning": (PortabilityProbe("In the capital of Norland stands", ("Vell",)),)},
)  # fmt: skip
FACTS = [FACT, *tiny.FACTS[1:4]]


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_equals_one_row_at_a_time(name):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    sites = find_sites(model)
    with untouched(model):
        found = fact_effects(model, tokenizer, sites, FACTS)[0]

    def alone(prompt, answer, labels=None):
        (new,) = subject_rows(tokenizer, [""], FACT.prompt, FACT.subject, FACT.target_new)
        (row,) = encode_pairs(tokenizer, [(prompt, answer)])
        batch = one_batch([new, row], None if labels is None else [new.answer, labels])
        anchors = Anchors(torch.tensor([0, 0]), torch.tensor([new.subject] * 2))
        with untouched(model):
            return edit_effects(model, sites, batch, anchors).transfer[:, 1].numpy()

    def stays(prompt, answer):
        (row,) = encode_pairs(tokenizer, [(prompt, answer)])
        (said,) = predict(model, [row])
        assert said.argmax != row.answer  # so that it matters what is asked for
        return np.abs(alone(prompt, answer, said.argmax))

    expected = np.mean([alone(p, "Bergstad") for p in FACT.rephrase_prompts], axis=0)
    np.testing.assert_allclose(found.transfer["rephrase"], expected, rtol=1e-6)
    expected = alone("In the capital of Norland stands", "Vell")
    np.testing.assert_allclose(found.transfer["portability"], expected, rtol=1e-6)
    far = FACT.locality["far"][0]
    near = FACT.locality["near"][0]
    with untouched(model):
        only = [
            fact_effects(model, tokenizer, sites, [Fact(
                "x", FACT.subject, FACT.prompt, FACT.target_new, locality={"a": (probe,)}
            )])[0].transfer["locality"]
            for probe in FACT.locality["far"]
        ]  # fmt: skip
    np.testing.assert_allclose(only[0], stays(far.prompt, far.answer), rtol=1e-6)
    # the mean by kind, then over kinds: the far kind has two probes
    expected = (stays(near.prompt, near.answer) + np.mean(only, axis=0)) / 2
    np.testing.assert_allclose(found.transfer["locality"], expected, rtol=1e-6)


def test_batches_change_nothing():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    sites = find_sites(model)
    seen = []
    with untouched(model):
        one = fact_effects(model, tokenizer, sites, FACTS, batch_tokens=1)
        two = fact_effects(model, tokenizer, sites, FACTS, progress=lambda *done: seen.append(done))
    assert len(one) == len(two) == len(FACTS)
    for a, b in zip(one, two, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-9)
        assert set(a.transfer) == set(b.transfer)
        for name in a.transfer:
            np.testing.assert_allclose(a.transfer[name], b.transfer[name], rtol=1e-6)
            np.testing.assert_allclose(a.bound[name], b.bound[name], rtol=1e-6)
            np.testing.assert_allclose(a.overlap[name], b.overlap[name], rtol=1e-6)
        np.testing.assert_allclose(a.need, b.need, rtol=1e-6)
    assert seen[-1] == ("effects", 4, 4)


def test_a_fact_without_probes_has_the_edited_row_alone():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    with untouched(model):
        (found,) = fact_effects(model, tokenizer, find_sites(model), tiny.FACTS[:1])
    assert set(found.transfer) == {"rewrite"}
    assert np.isnan(found.need[-1])  # nothing reads the last layer at the subject
    assert (found.need[:-1] > 0).all()
