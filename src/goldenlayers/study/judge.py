"""How good a choice of a layer was, judged on test facts; see `Judge`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from goldenlayers.locators.fences import Floats
from goldenlayers.locators.ranked import TIE, winners
from goldenlayers.sweep.objective import LayerScores, ties

SPLITS = 400  # halvings of the test facts behind a regret
SUBSETS = 2000  # sets of facts behind an oracle floor
NEAR = 0.01  # within a point of the best
Z = 1.959964  # 95 %, two-sided


@dataclass(frozen=True)
class Regret:
    """Test score of the true golden layer less that of the choice, in shares of one.

    Attributes:
        mean: Over the test facts.
        low: Lower end of its 95 % interval, over test facts.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


class Judge:
    """Judges choices by what brute force found on test facts.

    The regret is cross-fitted: the true golden layer is found on one half of the test facts and the
    regret measured on the other, both ways round, over many halvings. Against the best layer of the
    same facts it would be too large: the best of many noisy means is better than it is. So a
    cross-fitted regret may be less than zero. Its interval is that of a mean over facts, each with
    its own average over the halvings.

    Args:
        scores: Of the test facts at all layers.
        objective: What makes a layer good.
        seed: Of the halvings.

    Attributes:
        by_layer: (L,) the objective on all test facts.
        golden: Position of the best layer, the shallowest of several.
        each: (N, L) what each fact contributes to it; its mean is `by_layer`.
    """

    def __init__(self, scores: LayerScores, objective: str, seed: int = 0):
        self.scores, self.objective = scores, objective
        self.by_layer = scores.by_layer(objective)
        self.golden = ties(self.by_layer)[0]
        self.each = scores.contributions(objective)  # (N, L)
        n = len(self.each)
        rng = np.random.default_rng(seed)
        self._reference = np.full(n, math.nan)  # (N,) each fact at the other half's best layer
        if n >= 2:
            total = np.zeros(n)
            for _ in range(SPLITS):
                order = rng.permutation(n)
                one, two = order[: n // 2], order[n // 2 :]
                for here, there in ((one, two), (two, one)):
                    total[there] += self.each[there, ties(self.each[here].mean(0))[0]]
            self._reference = total / SPLITS

    def regret(self, weights: Floats) -> Regret:
        """Return the regret of a choice.

        Args:
            weights: (L,) probability of each layer; one-hot for a choice without chance. Averaged
                over draws of proxy facts it gives the mean regret over the draws.
        """
        apart = self._reference - self.each @ weights  # (N,)
        n = len(apart)
        mean = float(apart.mean())
        reach = Z * float(apart.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
        return Regret(mean, mean - reach, mean + reach)

    def score(self, weights: Floats) -> float:
        """Return the expected test score of a choice."""
        return float(self.by_layer @ weights)

    def hit(self, weights: Floats, within: float = TIE) -> float:
        """Return the probability that a choice is within so much of the best layer."""
        return float(weights[self.by_layer >= self.by_layer.max() - within].sum())

    def rank_correlation(self, scores: Floats) -> float | None:
        """Return Spearman's correlation of a method's scores with the truth; None without ranks.

        Args:
            scores: (L,), NaN where the method has none.
        """
        there = np.isfinite(scores) & np.isfinite(self.by_layer)
        if there.sum() < 3 or np.ptp(scores[there]) <= TIE or np.ptp(self.by_layer[there]) <= TIE:
            return None
        result: Any = spearmanr(scores[there], self.by_layer[there])
        return float(result.statistic)


def floor_of_proxies(
    judge: Judge, proxies: LayerScores, size: int, seed: int = 0
) -> tuple[Regret, Floats]:
    """Return the regret of brute force itself, choosing on `size` of the proxy facts.

    Returns:
        The regret, averaged over random sets of that size; (L,) how often each layer is chosen.
    """
    rng = np.random.default_rng(seed)
    n = len(proxies.facts)
    counts = np.zeros((SUBSETS, n))
    for r in range(SUBSETS):
        counts[r, rng.permutation(n)[:size]] = 1.0
    weights = winners(proxies.by_layer(judge.objective, counts))
    return judge.regret(weights), weights


def floor_of_test(judge: Judge, size: int, seed: int = 0) -> Regret | None:
    """Return the same where no proxy was edited: sets of test facts, judged on the others.

    None where there are too few test facts for that.
    """
    n = len(judge.scores.facts)
    if size > n // 2:
        return None
    rng = np.random.default_rng(seed)
    chosen = np.zeros((SUBSETS, n))
    for r in range(SUBSETS):
        chosen[r, rng.permutation(n)[:size]] = 1.0
    layers = np.array([ties(row)[0] for row in judge.scores.by_layer(judge.objective, chosen)])
    apart = judge._reference - judge.each[:, layers].T  # (R, N)
    others = 1.0 - chosen
    each = (apart * others).sum(0) / others.sum(0)  # (N,)
    mean, reach = float(each.mean()), Z * float(each.std(ddof=1)) / math.sqrt(n)
    return Regret(mean, mean - reach, mean + reach)
