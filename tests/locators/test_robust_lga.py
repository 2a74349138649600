"""LGA's products taken together in other ways, against plain loops."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

import goldenlayers
from goldenlayers.errors import SettingsError
from goldenlayers.locators.fences import Fences
from goldenlayers.locators.registry import make_locator, settings_for
from goldenlayers.locators.robust_lga import RobustLGA
from goldenlayers.study.compare import own_settings
from tests import tiny

FACTS = [*tiny.FACTS, *tiny.LAST_TOKEN, tiny.FACTS[0].__class__(
    "11", "Norland", "The flag of Norland is", "old", "grey"
)]  # fmt: skip


def slowly(values, way):
    """Scores by layer from a list of facts, each a list by layer."""
    n_layers = len(values[0])
    if way == "rank":
        values = [[1 + sum(b < a for b in row) for a in row] for row in values]
    if way == "normalised":
        sizes = [(sum(a * a for a in row) / n_layers) ** 0.5 for row in values]
        values = [[a / s for a in row] for row, s in zip(values, sizes, strict=True)]
    scores = []
    for column in zip(*values, strict=True):
        if way == "median":
            scores.append(statistics.median(column))
        elif way == "trimmed":
            cut = int(0.1 * len(column))
            scores.append(statistics.mean(sorted(column)[cut : len(column) - cut]))
        else:
            scores.append(statistics.mean(column))
    return scores


@pytest.mark.parametrize("way", ["rank", "normalised", "trimmed", "median", "cosine"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_equals_a_plain_loop(name, way):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    found = goldenlayers.find(model, tokenizer, FACTS, method=f"robust-lga:{way}", fence=None)
    lga = goldenlayers.find(model, tokenizer, FACTS, method="lga", fence=None)
    assert len(lga.answers) == 11  # more than ten, so that one is cut at either end
    values = lga.fact_scores["cosine" if way == "cosine" else "score"].tolist()
    expected = slowly(values, way)
    np.testing.assert_allclose([s.score for s in found.layers], expected, rtol=1e-9)
    assert found.golden == int(np.argmax(expected))
    assert found.method == "robust-lga"
    assert found.settings["way"] == way
    assert sum(s.stability for s in found.layers) == pytest.approx(1)


def test_one_fact_with_huge_gradients_does_not_own_the_choice(monkeypatch):
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    from goldenlayers.locators.products import Products

    dots = np.tile([1.0, 2.0, 4.0, 3.0], (11, 1))
    dots[5] = [1e6, 0.0, 0.0, 0.0]
    monkeypatch.setattr(Products, "dots", property(lambda self: dots))
    for way in ("rank", "normalised", "trimmed", "median"):
        found = goldenlayers.find(model, tokenizer, FACTS, method=f"robust-lga:{way}", fence=None)
        assert found.golden == 2
    found = goldenlayers.find(model, tokenizer, FACTS, method="lga", fence=None)
    assert found.golden == 0


def test_the_fences_are_those_of_its_own_scores():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    found = goldenlayers.find(model, tokenizer, FACTS, method="robust-lga", fence=0.1)
    scores = np.array([s.score for s in found.layers])
    inside = Fences(0.1).inside(scores)
    assert [s.inside_fences for s in found.layers] == list(inside)
    assert not inside.all()


@pytest.mark.parametrize("setting", [{"way": "sum"}, {"scope": "all"}])
def test_settings_are_checked(setting):
    with pytest.raises(SettingsError, match="unknown; expected one of"):
        goldenlayers.find(
            tiny.model("llama"), tiny.tokenizer("llama"), FACTS, method="robust-lga", **setting
        )


def test_the_command_line_names_the_way_and_compare_keeps_the_races_confidence_for_the_race():
    assert make_locator("robust-lga:median") == RobustLGA(way="median")
    assert make_locator("robust-lga") == RobustLGA(way="rank")
    assert "confidence" in settings_for("robust-lga:median")
    assert "confidence" not in own_settings("robust-lga:median")
    with pytest.raises(SettingsError, match="'sum' is unknown; expected one of rank"):
        make_locator("robust-lga:sum")
