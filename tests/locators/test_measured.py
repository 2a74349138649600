"""What is said of how far a method's choices were from the truth."""

from __future__ import annotations

import json

import pytest

import goldenlayers as gl
from goldenlayers.locators import measured as module
from goldenlayers.locators.measured import measured
from goldenlayers.locators.registry import make_locator
from tests import tiny

LLAMA = {"architecture": "LlamaForCausalLM", "parameters": 130_000_000}
DATA = {
    "cells": [
        {"name": "a", "architecture": "LlamaForCausalLM", "parameters": 100_000_000},
        {"name": "b", "architecture": "LlamaForCausalLM", "parameters": 100_000_000},
        {"name": "c", "architecture": "GPT2LMHeadModel", "parameters": 3_000_000},
    ],
    "excess": {
        "all": {"lga": [0.08, 0.03, 0.12], "staged": [-0.004, -0.01, 0.02], "brute-force": [0.03]},
        "LlamaForCausalLM": {
            "lga": [0.1, 0.05, 0.2], "robust-lga:rank": [0.02, 0, 0.03], "verified": [0.01, 0, 0.1],
        },
        "GPT2LMHeadModel": {"lga": [0.04, 0.01, 0.05]},
    },
}  # fmt: skip


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.setattr(module, "_read", lambda: DATA)


def test_the_figures_of_models_of_the_same_class_and_size(figures):
    found = measured(make_locator("lga"), LLAMA)
    assert found.like
    assert found.excess == (0.1, 0.05, 0.2)
    assert found.cells == 2
    assert str(found) == (
        "Measured on models like this one (LlamaForCausalLM, 100 million parameters; 2 cells): "
        "layers chosen by lga with its defaults score 10.0 points worse in the mean than those "
        "that brute force chooses on the same facts, which can err too (95 %: +5.0 to +20.0). Real "
        "edits tell how far on yours: golden-layers find --method staged, or verified, which races "
        "LGA's best."
    )
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    verified = str(measured(make_locator("verified"), LLAMA))
    assert verified.endswith("(95 %: +0.0 to +10.0).")


@pytest.mark.parametrize(
    "other", [{"architecture": "Qwen2ForCausalLM"}, {"parameters": 500_000_000},
              {"parameters": 24_000_000}, {"architecture": "GPT2LMHeadModel"}],
)  # fmt: skip
def test_of_another_class_or_size_all_figures_and_a_warning(figures, other):
    found = measured(make_locator("lga"), LLAMA | other)
    assert not found.like
    assert found.excess == (0.08, 0.03, 0.12)
    assert found.cells == 3
    text = str(found)
    assert "none like this one (3 to 100 million parameters; 3 cells)" in text
    staged = str(measured(make_locator("staged"), LLAMA | other))
    assert "0.4 points better in the mean than those that brute force chooses" in staged
    assert "(95 %: −1.0 to +2.0)" in staged
    assert staged.endswith("LGA's best by real edits is golden-layers find --method verified.")


def test_ways_are_told_apart_and_what_was_not_measured_is_called_so(figures, monkeypatch):
    rank = measured(make_locator("robust-lga:rank"), LLAMA)
    assert rank.excess == (0.02, 0, 0.03)
    for method in ("robust-lga:median", "fixed:7", "gradient-norm", "cma"):
        found = measured(make_locator(method), LLAMA)
        assert found.excess is None
        assert str(found) == (
            f"How far layers chosen by {method} are from the best was not measured on any model "
            "yet. Real edits tell how far on yours: golden-layers find --method staged, or "
            "verified, which races LGA's best."
        )
    truth = str(measured(make_locator("brute-force"), LLAMA | {"parameters": 1}))
    assert truth.endswith("is 3.0 points below the best layer.")
    monkeypatch.setitem(DATA["excess"], "all", {"brute-force": [-0.003]})
    truth = str(measured(make_locator("brute-force"), LLAMA | {"parameters": 1}))
    assert truth.endswith("does as well as the best layer, as far as the test facts can tell.")


@pytest.mark.parametrize("method", ["lga", "middle", "staged"])
def test_every_ranking_carries_it(method):
    ranking = gl.find(tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[:3], method)
    assert ranking.details["measured"]["method"] == method
    assert ranking.details["measured"]["architecture"] == "LlamaForCausalLM"
    assert f"chosen by {method}" in ranking.notes[-1]
