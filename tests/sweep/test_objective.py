"""What makes a layer good: means of means, their errors, ceilings."""

from __future__ import annotations

import math

import numpy as np
import pytest

from goldenlayers.errors import LocatorError, SettingsError
from goldenlayers.sweep.objective import OBJECTIVES, LayerScores, ties
from goldenlayers.sweep.outcome import LayerOutcome

NAN = math.nan
REWRITE = [[1.0, 0.5], [0.0, 1.0], [1.0, 1.0]]
REPHRASE = [[0.5, NAN], [1.0, 0.0], [NAN, NAN]]  # (facts, layers); the third fact has none
REPHRASE[0][1] = 1.0
LOCALITY = [[0.2, 0.4], [0.6, 0.8], [1.0, 0.3]]
NONE = [[NAN, NAN]] * 3


def scores(**changes):
    values = {
        "rewrite": REWRITE, "rephrase": REPHRASE, "locality": LOCALITY, "portability": NONE,
    } | changes  # fmt: skip
    return LayerScores(("a", "b", "c"), (4, 7), {k: np.array(v) for k, v in values.items()})


def test_each_score_is_averaged_over_the_facts_that_have_it_and_then_they_are():
    found = scores()
    assert found.members("mean") == ("rewrite", "rephrase", "locality")
    first = [2 / 3, (0.5 + 1.0) / 2, (0.2 + 0.6 + 1.0) / 3]
    second = [2.5 / 3, (1.0 + 0.0) / 2, (0.4 + 0.8 + 0.3) / 3]
    assert found.by_layer("mean") == pytest.approx([np.mean(first), np.mean(second)])
    harmonic = [3 / sum(1 / x for x in part) for part in (first, second)]
    assert found.by_layer("harmonic") == pytest.approx(harmonic)
    assert found.by_layer("rephrase") == pytest.approx([first[1], second[1]])


def test_weights_count_facts_as_often_as_they_say():
    found = scores()
    twice = LayerScores(
        ("a", "b", "b2"), (4, 7), {k: v[[0, 1, 1]] for k, v in found.values.items()}
    )
    weighted = found.by_layer("mean", np.array([[1.0, 2.0, 0.0]]))
    assert weighted[0] == pytest.approx(twice.by_layer("mean"))


def test_a_zero_makes_the_harmonic_mean_zero():
    assert scores(rewrite=[[0.0, 1.0]] * 3).by_layer("harmonic")[0] == 0.0


@pytest.mark.parametrize("objective", OBJECTIVES[:3] + OBJECTIVES[4:])
def test_contributions_average_to_the_objective(objective):
    found = scores()
    assert found.contributions(objective).mean(0) == pytest.approx(found.by_layer(objective))


def test_standard_error_of_one_score_is_the_usual_one():
    expected = np.std(LOCALITY, axis=0, ddof=1) / math.sqrt(3)
    assert scores().standard_errors("locality") == pytest.approx(expected)
    one = scores().of_facts([0])
    assert np.isnan(one.standard_errors("locality")).all()


@pytest.mark.parametrize("objective", ["mean", "harmonic"])
def test_standard_error_of_a_combination_agrees_with_the_bootstrap(objective):
    rng = np.random.default_rng(0)
    n = 400
    values = {name: rng.uniform(0.2, 1.0, (n, 2)) for name in ("rewrite", "rephrase", "locality")}
    values["rephrase"][rng.uniform(size=n) < 0.4] = NAN  # some facts have none
    values["portability"] = np.full((n, 2), NAN)
    found = LayerScores(tuple(map(str, range(n))), (0, 1), values)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=4000).astype(float)
    bootstrap = found.by_layer(objective, counts).std(0)
    assert found.standard_errors(objective) == pytest.approx(bootstrap, rel=0.06)


def test_sample_wise_choice_takes_each_facts_own_layer():
    found = scores()
    assert found.of_each_fact("mean")[2] == pytest.approx([1.0, 0.65])  # of those that it has
    ceiling = found.at([0, 1, 0], "mean")
    parts = [(1 + 1 + 1) / 3, (0.5 + 0.0) / 2, (0.2 + 0.8 + 1.0) / 3]
    assert ceiling == pytest.approx(np.mean(parts))


def test_ties_are_all_named_shallow_first():
    assert ties(np.array([0.2, 0.7, NAN, 0.7 - 1e-12, 0.1])) == [1, 3]


def test_unknown_objectives_and_missing_probes_are_refused():
    with pytest.raises(SettingsError, match="objective 'best' is unknown; expected one of rewrite"):
        scores().by_layer("best")
    with pytest.raises(LocatorError, match="none of the 3 facts has a probe for portability"):
        scores().by_layer("portability")


def test_scores_are_read_from_outcomes():
    def outcome(fact, layer, rewrite, rephrase):
        values = {"rewrite": rewrite, "rephrase": rephrase, "locality": None, "portability": None}
        return LayerOutcome(fact, layer, "converged", "", 1, 0, True, 3, 1, values, 0.1, "")

    made = [outcome("a", 4, 1.0, None), outcome("a", 7, 0.0, 0.5)]
    found = LayerScores.of({(o.fact, o.layer): o for o in made}, ["a"], [7, 4])
    assert found.values["rewrite"].tolist() == [[0.0, 1.0]]
    assert found.values["rephrase"][0, 0] == 0.5
    assert np.isnan(found.values["rephrase"][0, 1])
