"""A few edits that close in on the best layers, on facts whose scores are all known."""

from __future__ import annotations

import numpy as np
import pytest

from goldenlayers.errors import LocatorError
from goldenlayers.locators.close_in import ROUNDS, close_in, spread


def world(n=40, depth=30, seed=0, noise=0.12):
    """Scores of all facts at all layers, and the curve that they are drawn around."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal(depth) * 0.05
    curve = 0.6 + np.cumsum(steps) * 0.6
    level = 0.2 * rng.standard_normal((n, 1))
    return curve + level + noise * rng.standard_normal((n, depth)), curve


def run(scores, edits, **options):
    made = []

    def edit(facts, layers):
        made.extend((f, j) for f in facts for j in layers)
        return {name: x[np.ix_(facts, layers)] for name, x in scores.items()}

    n, depth = next(iter(scores.values())).shape
    return close_in(n, depth, edits, edit, **options), made


@pytest.mark.parametrize(("n", "edits"), [(40, 120), (8, 60), (200, 150), (3, 60)])
def test_no_edit_is_made_twice_and_no_more_than_were_allowed(n, edits):
    scores, _ = world(n)
    found, made = run({"rewrite": scores}, edits)
    assert found.edited == made
    assert len(set(made)) == len(made)
    assert edits - 20 <= len(made) <= edits + 2
    assert len(found.rounds) == len(ROUNDS)
    first, second = (layers for _, layers in found.rounds)
    assert 6 <= len(first) <= 24
    assert len(second) == 8 if n > 3 else 8 < len(second) < 20


def test_facts_of_a_later_round_are_edited_at_the_same_layers():
    scores, _ = world()
    _, made = run({"rewrite": scores}, 120)
    later = made[made.index(next(x for x in made if x[0] == 8)) :]
    by_fact = {f: sorted(j for g, j in later if g == f) for f, _ in later}
    assert len({tuple(layers) for layers in by_fact.values()}) == 1
    assert len(by_fact) == 9
    assert not {f for f, _ in made[:48]} & set(by_fact)  # there were enough others


def test_the_first_round_reaches_every_part_of_the_depth_in_two_sets_of_layers():
    groups = spread(40, 30, 36)
    assert sum(len(f) * len(layers) for f, layers in groups) == 36
    assert [len(facts) for facts, _ in groups] == [3, 3]
    (_, one), (_, other) = groups
    assert (one[0], other[-1]) == (0, 29)
    assert set(np.diff(one)) | set(np.diff(other)) == {5, 6}
    assert set(np.diff(sorted({*one, *other}))) == {2, 3}
    # few facts are edited at more layers each
    ((_, layers), *others) = spread(2, 30, 36)
    assert len(layers) == 18
    assert len(others) == 1
    assert spread(1, 4, 30) == [([0], [0, 1, 2, 3])]


def test_it_comes_near_the_best_layer_and_says_how_near():
    regrets, said, covered, at_random = [], [], [], []
    for seed in range(60):
        scores, curve = world(seed=seed)
        found, _ = run({"rewrite": scores}, 120, seed=seed)
        lost = found.lost(found.best)
        regrets.append(curve.max() - curve[found.best])
        said.append(lost.mean())
        covered.append(regrets[-1] <= np.quantile(lost, 0.95))
        at_random.append(curve.max() - curve.mean())
    assert np.mean(regrets) < 0.25 * np.mean(at_random)
    assert np.mean(said) == pytest.approx(np.mean(regrets), rel=0.5)
    assert np.mean(covered) > 0.85


def test_scores_are_combined_as_everywhere_and_a_missing_one_is_left_out():
    scores, _ = world(noise=0.0)
    falling = np.tile(np.linspace(1, 0, 30), (40, 1))
    locality = falling.copy()
    locality[::2] = np.nan  # half of the facts have no such probe
    found, _ = run({"rewrite": scores, "locality": locality}, 400)
    both = (found.curves["rewrite"].mean + found.curves["locality"].mean) / 2
    np.testing.assert_allclose(found.mean, both)
    only, _ = run({"rewrite": scores, "locality": locality}, 400, objective="locality")
    assert only.best == 0
    np.testing.assert_allclose(only.mean, only.curves["locality"].mean)
    assert found.likely.sum() == pytest.approx(1.0)
    harmonic, _ = run({"rewrite": scores, "locality": locality}, 400, objective="harmonic")
    a, b = (harmonic.curves[n].mean for n in ("rewrite", "locality"))
    positive = (a > 0) & (b > 0)
    np.testing.assert_allclose(harmonic.mean[positive], (2 * a * b / (a + b))[positive])


def test_an_objective_that_no_fact_has_is_refused():
    scores, _ = world()
    nothing = np.full_like(scores, np.nan)
    with pytest.raises(LocatorError, match="'locality': none of the facts"):
        run({"rewrite": scores, "locality": nothing}, 120, objective="locality")


def test_of_layers_that_tie_the_shallowest_is_chosen_and_told_of():
    found, _ = run({"rewrite": np.ones((20, 30))}, 60)
    assert found.best == 0
    np.testing.assert_allclose(found.mean, 1.0)
    assert found.lost(0).mean() < 0.01


@pytest.mark.parametrize(("n", "depth"), [(1, 1), (5, 1), (1, 2), (4, 3)])
def test_few_facts_and_layers_are_all_edited(n, depth):
    scores, _ = world(n, depth)
    found, made = run({"rewrite": scores}, n * depth)
    assert 0 <= found.best < depth
    assert len(set(made)) == len(made) <= n * depth
