"""Fences and selection stability against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from goldenlayers.errors import LocatorError, SettingsError
from goldenlayers.locators.fences import QUARTILES, Fences
from goldenlayers.locators.stability import selection_stability


def test_by_hand():
    scores = np.array([1.0, 2.0, 3.0, 4.0, 100.0])  # Q1 = 2, Q3 = 4, IQR = 2: fences 0 and 6
    assert Fences().bounds(scores) == (0.0, 6.0)
    assert Fences().inside(scores).tolist() == [True, True, True, True, False]
    assert Fences().golden(scores) == 3
    assert Fences(None).golden(scores) == 4


def test_the_boundary_is_kept():
    scores = np.array([0.0, 2.0, 3.0, 4.0, 6.0])  # Q1 = 2, Q3 = 4: fences exactly 0 and 6
    assert Fences().inside(scores).all()


def test_ties_go_to_the_shallower_layer():
    assert Fences().golden(np.array([1.0, 5.0, 5.0, 2.0])) == 1


def test_negative_scores_keep_their_sign():
    assert Fences().golden(np.array([-5.0, -1.0, -3.0, -2.0])) == 1


def test_a_narrow_fence_that_excludes_all_is_an_error():
    with pytest.raises(LocatorError, match="exclude all 2 layers"):
        Fences(0.0).golden(np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("k", "quartiles"), [(-1.0, "linear"), (float("nan"), "linear"), (1.0, "x")]
)
def test_bad_settings(k, quartiles):
    with pytest.raises(SettingsError, match="expected"):
        Fences(k, quartiles)


@pytest.mark.parametrize("quartiles", QUARTILES)
@given(scores=arrays(np.float64, (3, 8), elements=st.floats(-1e6, 1e6)))
def test_equals_a_loop_over_layers(quartiles, scores):
    fences = Fences(1.0, quartiles)
    for row, golden in zip(scores, fences.golden(scores), strict=True):
        q1 = np.quantile(row, 0.25, method=quartiles)
        q3 = np.quantile(row, 0.75, method=quartiles)
        best = None
        for layer, value in enumerate(row):
            is_in = q1 - (q3 - q1) <= value <= q3 + (q3 - q1)
            if is_in and (best is None or value > row[best]):
                best = layer
        assert golden == best


def test_stability_equals_a_loop_over_resamples():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(12, 7)) + np.linspace(0, 0.4, 7)
    fences = Fences()
    found = selection_stability(scores, fences, resamples=150, seed=5)
    again = np.random.default_rng(5)
    wins = np.zeros(7)
    for size in (100, 50):  # drawn in chunks of 100
        for counts in again.multinomial(12, np.full(12, 1 / 12), size=size):
            sample = np.repeat(scores, counts, axis=0)
            wins[fences.golden(sample.sum(axis=0))] += 1
    assert found is not None
    np.testing.assert_allclose(found, wins / 150)
    assert found.sum() == pytest.approx(1.0)
    assert (found > 0).sum() > 1  # a sample on which resampling matters


def test_stability_of_one_fact_says_nothing():
    assert selection_stability(np.ones((1, 4)), Fences()) is None


def test_a_dominant_layer_is_certain():
    scores = np.tile([0.0, 1.0, 0.5, 0.2], (6, 1))
    found = selection_stability(scores, Fences(None))
    assert found is not None
    assert found.tolist() == [0, 1, 0, 0]
