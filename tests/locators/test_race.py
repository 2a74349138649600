"""The race: halving, stopping, and whether its bounds hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from goldenlayers.locators.race import difference, race


def runner(values):
    """Return what `race` is given for scores (facts, layers), and a list of what it asked for."""
    asked = []

    def fill(n, layers):
        asked.append((n, sorted(layers)))

    def contributions(n, layers):
        return values[:n][:, list(layers)]

    return fill, contributions, asked


def test_a_clear_winner_ends_the_race_at_the_first_look():
    rng = np.random.default_rng(0)
    values = rng.normal(0.3, 0.02, (40, 4))
    values[:, 2] += 0.5
    fill, contributions, asked = runner(values)
    over = race([0, 1, 2, 3], 40, fill, contributions, confidence=0.95)
    assert over.order[0] == 2
    assert over.separated
    assert asked == [(8, [0, 1, 2, 3])]
    assert over.regret == 0.0


def test_the_better_half_goes_on_with_twice_the_facts():
    rng = np.random.default_rng(1)
    values = rng.normal(0.5, 0.2, (40, 8)) + np.arange(8) * 0.02
    fill, contributions, asked = runner(values)
    over = race(range(8), 40, fill, contributions, confidence=0.99)
    assert [n for n, _ in asked] == [8, 16, 32, 40]
    assert [len(layers) for _, layers in asked] == [8, 4, 2, 2]
    means = values[:8].mean(0)
    assert asked[1][1] == sorted(np.argsort(-means)[:4].tolist())
    assert sorted(over.order) == list(range(8))
    assert [over.entrants[j].facts for j in over.order] == [40, 40, 16, 16, 8, 8, 8, 8]


def test_equals_are_not_told_apart_and_the_first_named_wins():
    values = np.tile(np.linspace(0, 1, 20)[:, None], (1, 3))
    fill, contributions, _ = runner(values)
    over = race([2, 0, 1], 20, fill, contributions, confidence=0.9)
    assert over.order[0] == 2
    assert not over.separated
    assert over.regret == 0.0  # equal on every fact: nothing was lost


def test_one_fact_gives_no_bound():
    fill, contributions, _ = runner(np.array([[0.1, 0.9]]))
    over = race([0, 1], 1, fill, contributions, confidence=0.9)
    assert over.order == [1, 0]
    assert not over.separated
    assert over.regret == math.inf


def test_the_bound_is_students():
    rng = np.random.default_rng(3)
    pairs = rng.normal(size=(12, 2))
    mean, high = difference(pairs, 0.05)
    d = pairs[:, 0] - pairs[:, 1]
    expected = stats.ttest_1samp(d, 0).confidence_interval(0.90).high  # two-sided 90 %
    assert mean == pytest.approx(d.mean())
    assert high == pytest.approx(expected)


def test_the_bounds_hold_about_as_often_as_they_say():
    """Races of layers whose true means are known: the bound on the regret must cover it."""
    rng = np.random.default_rng(4)
    true = np.array([0.60, 0.58, 0.55, 0.50, 0.40, 0.30])
    covered = wrongly_certain = 0
    races = 300
    for _ in range(races):
        hard = rng.uniform(-0.2, 0.2, (60, 1))  # what the layers share of a fact
        values = np.clip(true + hard + rng.normal(0, 0.25, (60, 6)), 0, 1)
        fill, contributions, _ = runner(values)
        over = race(range(6), 60, fill, contributions, confidence=0.9)
        # clipping moves the means; the true ones are taken from very many facts
        covered += over.regret >= TRUE.max() - TRUE[over.order[0]] - 1e-12
        wrongly_certain += over.separated and over.order[0] != 0
    assert covered / races >= 0.9
    assert wrongly_certain / races <= 0.1


def _true_means():
    rng = np.random.default_rng(5)
    true = np.array([0.60, 0.58, 0.55, 0.50, 0.40, 0.30])
    n = 200_000
    hard = rng.uniform(-0.2, 0.2, (n, 1))
    return np.clip(true + hard + rng.normal(0, 0.25, (n, 6)), 0, 1).mean(0)


TRUE = _true_means()
