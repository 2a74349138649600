"""Regrets, floors and hits against slow references and against worlds whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from goldenlayers.study import judge as judge_module
from goldenlayers.study.judge import Judge, floor_of_proxies, floor_of_test
from goldenlayers.sweep.objective import LayerScores


def scores(rewrite):
    n, n_layers = rewrite.shape
    none = np.full_like(rewrite, math.nan)
    return LayerScores(
        tuple(f"f{i}" for i in range(n)),
        tuple(range(n_layers)),
        {"rewrite": rewrite, "rephrase": none, "locality": none, "portability": none},
    )


def one_hot(layer, n):
    return np.eye(n)[layer]


def test_regret_is_that_of_explicit_halvings(monkeypatch):
    monkeypatch.setattr(judge_module, "SPLITS", 30)
    values = np.random.default_rng(0).uniform(size=(9, 4))
    judge = Judge(scores(values), "rewrite", seed=5)
    rng = np.random.default_rng(5)
    regrets = np.zeros(9)
    for _ in range(30):
        order = rng.permutation(9)
        for here, there in ((order[:4], order[4:]), (order[4:], order[:4])):
            best = int(np.argmax(values[here].mean(0)))
            for i in there:
                regrets[i] += (values[i, best] - values[i, 2]) / 30
    found = judge.regret(one_hot(2, 4))
    assert found.mean == pytest.approx(regrets.mean())
    reach = 1.959964 * regrets.std(ddof=1) / 3
    assert (found.low, found.high) == pytest.approx(
        (regrets.mean() - reach, regrets.mean() + reach)
    )
    mixed = judge.regret(np.full(4, 0.25)).mean
    assert mixed == pytest.approx(np.mean([judge.regret(one_hot(j, 4)).mean for j in range(4)]))


def test_cross_fitting_takes_the_bias_out():
    """All layers are equally good: the naive regret of any choice is positive, ours is not."""
    ours, naive = [], []
    for seed in range(60):
        values = np.random.default_rng(seed).normal(0.5, 0.3, (40, 20))
        judge = Judge(scores(values), "rewrite")
        ours.append(judge.regret(one_hot(3, 20)).mean)
        naive.append(values.mean(0).max() - values[:, 3].mean())
    error = np.std(ours, ddof=1) / math.sqrt(60)
    assert abs(np.mean(ours)) < 3 * error
    assert np.mean(naive) > 5 * error


def test_the_floor_of_proxies_is_brute_forces_own_regret(monkeypatch):
    monkeypatch.setattr(judge_module, "SUBSETS", 50)
    rng = np.random.default_rng(1)
    judge = Judge(scores(rng.uniform(size=(20, 5))), "rewrite")
    proxies = scores(rng.uniform(size=(12, 5)))
    floor, shares = floor_of_proxies(judge, proxies, 4, seed=2)
    order = np.random.default_rng(2)
    chosen = [
        int(np.argmax(proxies.values["rewrite"][order.permutation(12)[:4]].mean(0)))
        for _ in range(50)
    ]
    assert shares == pytest.approx(np.bincount(chosen, minlength=5) / 50)
    expected = np.mean([judge.regret(one_hot(j, 5)).mean for j in chosen])
    assert floor.mean == pytest.approx(expected)
    assert floor_of_proxies(judge, proxies, 12)[1].max() == 1.0  # all facts: one choice


def test_the_floor_of_test_facts_is_near_that_of_as_many_proxies():
    rng = np.random.default_rng(3)
    means = np.linspace(0.3, 0.7, 6)
    judge = Judge(scores(rng.normal(means, 0.4, (400, 6))), "rewrite")
    proxies = scores(rng.normal(means, 0.4, (400, 6)))
    ours = floor_of_test(judge, 10)
    assert ours is not None
    assert ours.mean == pytest.approx(floor_of_proxies(judge, proxies, 10)[0].mean, abs=0.01)
    assert floor_of_test(judge, 201) is None


def test_hits_scores_and_ranks():
    values = np.array([[0.500, 0.705, 0.700, 0.1]] * 3)
    judge = Judge(scores(values), "rewrite")
    assert judge.golden == 1
    assert judge.hit(one_hot(1, 4)) == 1
    assert judge.hit(one_hot(2, 4)) == 0
    assert judge.hit(one_hot(2, 4), 0.01) == 1
    assert judge.hit(np.full(4, 0.25), 0.01) == pytest.approx(0.5)
    assert judge.score(np.full(4, 0.25)) == pytest.approx(values[0].mean())
    method = np.array([3.0, np.nan, 1.0, 2.0])
    expected = spearmanr([3.0, 1.0, 2.0], [0.5, 0.7, 0.1]).statistic
    assert judge.rank_correlation(method) == pytest.approx(expected)
    assert judge.rank_correlation(np.full(4, 1.0)) is None
    assert judge.rank_correlation(np.array([1.0, np.nan, np.nan, 2.0])) is None
