"""Predicted effects as a way to choose: against the effects of each fact and plain loops."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from goldenlayers.errors import SettingsError
from goldenlayers.locators.effects import fact_effects
from goldenlayers.locators.find import find
from goldenlayers.locators.predicted import WAYS, of_facts
from goldenlayers.locators.registry import make_locator
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from tests import tiny
from tests.locators.test_effects import FACTS


def mean(values):
    there = [v for v in values if not math.isnan(v)]
    return sum(there) / len(there) if there else math.nan


def standard(values):
    """In standard deviations; a layer that is not reached has no part in them."""
    size = mean([(v - mean(values)) ** 2 for v in values]) ** 0.5
    return [(v - mean(values)) / size for v in values]


def by_loops(way, effects):
    """One number per layer, fact by fact and layer by layer."""
    layers = range(len(effects[0].need))

    def moved(*scores):
        own = [[[e.transfer[score][j] for e in effects if score in e.transfer]
                for score in scores] for j in layers]  # fmt: skip
        return [sum(mean([math.log(1 + max(v, 0.0)) for v in values]) for values in at if values)
                for at in own]  # fmt: skip

    need = [-mean([math.log(e.need[j]) for e in effects]) for j in layers]
    transfer, harmless = moved("rephrase", "portability"), [-v for v in moved("locality")]
    alone = {"need": need, "rephrase": moved("rephrase"), "transfer": transfer,
             "harmless": harmless}  # fmt: skip
    if way in alone:
        return alone[way]
    return [sum(v) for v in zip(*map(standard, (need, transfer, harmless)), strict=True)]


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("way", WAYS)
def test_scores_are_what_loops_over_the_facts_give(name, way):
    model, tokenizer = tiny.model(name, torch.float64), tiny.tokenizer(name)
    with untouched(model):
        effects = fact_effects(model, tokenizer, find_sites(model), FACTS)
    ranking = find(model, tokenizer, FACTS, f"predicted:{way}")
    expected = by_loops(way, effects)
    found = [math.nan if s.score is None else s.score for s in ranking.layers]
    assert found == pytest.approx(expected, nan_ok=True)
    assert math.isnan(found[-1])  # behind it nothing reads the subject
    assert ranking.golden == int(np.nanargmax(expected))
    assert sum(s.stability for s in ranking.layers) == pytest.approx(1.0)
    needs = np.mean([e.need for e in effects], axis=0)
    assert [s.more["need"] for s in ranking.layers[:-1]] == pytest.approx(needs[:-1])


def test_facts_without_probes_are_told_by_their_need_alone():
    bare = [dataclasses.replace(f, rephrase_prompts=(), locality={}, portability={})
            for f in FACTS]  # fmt: skip
    model, tokenizer = tiny.model("llama", torch.float64), tiny.tokenizer("llama")
    together = find(model, tokenizer, bare, "predicted")
    assert together.order == find(model, tokenizer, bare, "predicted:need").order
    assert set(together.layers[0].more) == {"need", "moves_rewrite"}


def test_a_layer_that_no_gradient_reaches_is_not_chosen():
    need = np.array([[1.0, np.nan, 2.0]])
    transfer = {"rephrase": np.array([[0.5, np.nan, 0.1]])}
    scores = of_facts("together", need, transfer)
    assert np.isnan(scores[1])
    assert int(np.nanargmax(scores)) == 0


def test_an_unknown_way_is_refused():
    with pytest.raises(
        SettingsError, match="way 'best' is unknown; expected one of together, need"
    ):
        make_locator("predicted:best")
