"""The choosers that look at little or nothing: middle, random, fixed, gradient norm."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from goldenlayers.errors import LocatorError, SettingsError
from goldenlayers.locators.find import find
from goldenlayers.locators.ranked import ranked, winners
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.locators.registry import make_locator
from goldenlayers.models.sites import find_sites
from tests import tiny


def run(method, **options):
    model = tiny.model("llama", torch.float64)
    return find(model, tiny.tokenizer("llama"), tiny.FACTS, method, **options)


def sites(n):
    model = tiny.model("llama")
    return find_sites(model)[:n]


def test_middle_is_the_shallower_of_two_middles():
    ranking = run("middle")
    assert ranking.golden == 1
    assert ranking.order == [1, 0, 2, 3]
    assert [s.score for s in ranking.layers] == [-1, 0, -1, -2]
    assert ranking.answers == ()
    assert run("middle", layers=[0, 2, 3]).golden == 2


def test_random_draws_every_layer_with_the_same_probability():
    drawn = [run("random", seed=seed) for seed in range(40)]
    assert {r.golden for r in drawn} == {0, 1, 2, 3}
    assert all(r.golden == r.order[0] for r in drawn)
    assert all(sorted(r.order) == [0, 1, 2, 3] for r in drawn)
    assert drawn[0].details["distribution"] == dict.fromkeys("0123", 0.25)
    assert run("random", seed=7).golden == run("random", seed=7).golden


def test_fixed_is_the_layer_named():
    ranking = run("fixed:2")
    assert (ranking.golden, ranking.order, ranking.method) == (2, [2], "fixed:2")
    assert (
        find(tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS, "fixed", layer=3).golden == 3
    )


@pytest.mark.parametrize("method", ["fixed", "fixed:", "fixed:x", "fixed:-1"])
def test_fixed_needs_a_number(method):
    with pytest.raises(SettingsError, match="expected fixed:N"):
        run(method)


def test_fixed_must_be_among_the_layers():
    with pytest.raises(SettingsError, match="layer 9 is not among those to choose among, 0 to 3"):
        run("fixed:9")


def test_unknown_methods_and_settings_are_refused():
    with pytest.raises(
        SettingsError, match="method 'lga:3' is unknown; expected one of auto, lga, "
    ):
        make_locator("lga:3")
    with pytest.raises(SettingsError, match="method 'middle' has no setting 'k'; it has none"):
        make_locator("middle", k=3)
    with pytest.raises(SettingsError, match="statistic 'l1' is unknown"):
        make_locator("gradient-norm", statistic="l1")


@pytest.mark.parametrize("statistic", ["l2", "mean-abs"])
def test_gradient_norm_ranks_by_the_mean_over_facts(statistic, tmp_path):
    ranking = run("gradient-norm", statistic=statistic, batch_tokens=60)
    own = {"l2": "l2_norm", "mean-abs": "mean_abs"}[statistic]
    means = ranking.fact_scores[own].mean(0)
    assert [s.score for s in ranking.layers] == pytest.approx(means)
    assert ranking.golden == int(np.argmax(means))
    assert [s.more["mean_abs"] for s in ranking.layers] == pytest.approx(
        ranking.fact_scores["mean_abs"].mean(0)
    )
    assert sum(s.stability for s in ranking.layers) == pytest.approx(1)
    assert len(ranking.answers) == len(tiny.FACTS)
    ranking.save(tmp_path)
    again = LayerRanking.load(tmp_path)
    assert again.layers == ranking.layers
    assert (again.fact_scores[own] == ranking.fact_scores[own]).all()


def test_gradient_norm_is_lgas_own_norm():
    ours = run("gradient-norm").fact_scores["l2_norm"]
    lga = run("lga").fact_scores["new_norm"]
    assert ours == pytest.approx(lga, rel=1e-9)


def test_ties_go_to_the_shallower_layer_and_nan_cannot_win():
    layers = ranked(sites(4), np.array([np.nan, 0.5, 0.5 + 1e-12, 0.4]))
    assert [s.rank for s in layers] == [None, 1, 2, 3]
    assert [s.score is None for s in layers] == [True, False, False, False]
    with pytest.raises(LocatorError, match="none of the 2 layers has a score"):
        ranked(sites(2), np.array([np.nan, np.nan]))


def test_winners_count_resamples():
    scores = np.array([[0.1, 0.2, 0.2 + 1e-13], [0.3, np.nan, 0.1], [0.0, 0.1, 0.4]])
    assert winners(scores) == pytest.approx([1 / 3, 1 / 3, 1 / 3])
