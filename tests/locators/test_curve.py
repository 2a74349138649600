"""The curve through a few edits, against the same model written out as one linear system."""

from __future__ import annotations

import numpy as np
import pytest

from goldenlayers.errors import SettingsError
from goldenlayers.locators.curve import Resemblance, curve

DEPTH = 9


def edits(n_facts=12, per_fact=3, seed=0, noise=0.1):
    """Edits of facts at random layers, and the curve that they come from."""
    rng = np.random.default_rng(seed)
    truth = 0.6 + 0.15 * np.sin(np.arange(DEPTH) / 2)
    levels = 0.3 * rng.standard_normal(n_facts)
    facts = np.repeat(np.arange(n_facts), per_fact)
    layers = np.concatenate([rng.choice(DEPTH, per_fact, replace=False) for _ in range(n_facts)])
    values = truth[layers] + levels[facts] + noise * rng.standard_normal(len(facts))
    return facts, layers, values, truth


def written_out(facts, layers, values, like):
    """Mean and covariance (in units of the noise's variance) by the unknowns themselves.

    The unknowns are the common mean, the curve's L values and the facts' levels; each observation
    is their sum and noise of variance 1.
    """
    n_facts, n = facts.max() + 1, len(facts)
    design = np.zeros((n, 1 + DEPTH + n_facts))
    design[:, 0] = 1
    design[np.arange(n), 1 + layers] = 1
    design[np.arange(n), 1 + DEPTH + facts] = 1
    apart = np.abs(np.subtract.outer(np.arange(DEPTH), np.arange(DEPTH))) / DEPTH
    precision = np.zeros((design.shape[1],) * 2)  # nothing is known of the mean
    prior = like.spread**2 * np.exp(-apart / like.reach)
    precision[1 : 1 + DEPTH, 1 : 1 + DEPTH] = np.linalg.inv(prior)
    precision[1 + DEPTH :, 1 + DEPTH :] = np.eye(n_facts) / like.level**2
    covariance = np.linalg.inv(precision + design.T @ design)
    found = covariance @ design.T @ values
    asked = np.zeros((DEPTH, design.shape[1]))
    asked[:, 0] = 1
    asked[np.arange(DEPTH), 1 + np.arange(DEPTH)] = 1
    return asked @ found, asked @ covariance @ asked.T


@pytest.mark.parametrize("like", [Resemblance(), Resemblance(reach=0.5, spread=2.0, level=0.5)])
def test_it_is_what_the_unknowns_written_out_give(like):
    facts, layers, values, _ = edits()
    found = curve(facts, layers, values, DEPTH, like)
    mean, covariance = written_out(facts, layers, values, like)
    np.testing.assert_allclose(found.mean, mean, atol=1e-4)
    # our mean has a prior, if a wide one
    unit = found.covariance[0, 0] / covariance[0, 0]
    np.testing.assert_allclose(found.covariance, unit * covariance, rtol=2e-3)


def test_the_noise_is_estimated_and_the_curve_found():
    facts, layers, values, truth = edits(n_facts=300, noise=0.1)
    like = Resemblance(reach=0.5, spread=1.0, level=3.0)
    found = curve(facts, layers, values, DEPTH, like)
    shape = found.mean - found.mean.mean()
    np.testing.assert_allclose(shape, truth - truth.mean(), atol=0.03)
    _, covariance = written_out(facts, layers, values, like)
    assert np.sqrt(found.covariance[0, 0] / covariance[0, 0]) == pytest.approx(0.1, rel=0.1)


def test_facts_levels_do_not_bend_it():
    """A hard fact at the shallow layers and an easy one at the deep ones say nothing of layers."""
    facts, layers = np.repeat([0, 1], 3), np.array([0, 1, 2, 6, 7, 8])
    values = np.array([0.2] * 3 + [0.9] * 3)
    like = Resemblance(level=1e3)
    found = curve(facts, layers, values, DEPTH, like)
    assert np.ptp(found.mean) < 1e-3


def test_equal_values_give_a_flat_curve_with_hardly_any_doubt():
    found = curve([0, 1, 2], [0, 3, 8], np.ones(3), DEPTH, Resemblance())
    np.testing.assert_allclose(found.mean, 1.0)
    assert np.isfinite(found.covariance).all()
    apart = found.covariance[0, 0] + found.covariance[8, 8] - 2 * found.covariance[0, 8]
    assert 0 <= apart < 1e-4


@pytest.mark.parametrize("wrong", [{"reach": 0.0}, {"spread": -1.0}, {"level": float("nan")}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} .*: expected a number above 0"):
        Resemblance(**wrong)
