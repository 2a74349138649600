"""A random layer: what choosing without any knowledge gives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from goldenlayers.locators.base import Request
from goldenlayers.locators.ranked import ranked
from goldenlayers.locators.ranking import LayerRanking


@dataclass(frozen=True)
class RandomLayer:
    """One of the layers, each with the same probability; the seed decides."""

    def rank(self, request: Request) -> LayerRanking:
        """Draw one layer; `score` is the probability that each layer had."""
        n = len(request.sites)
        order = np.random.default_rng(request.seed).permutation(n)  # the first is the draw
        rank = {int(j): r + 1 for r, j in enumerate(order)}
        layers = ranked(request.sites, np.full(n, 1 / n))
        return LayerRanking(
            method="random",
            golden=request.sites[order[0]].layer,
            layers=tuple(replace(s, rank=rank[j]) for j, s in enumerate(layers)),
            answers=(),
            fact_scores={},
            legend="score: the probability of each layer; the rank is the order of the draw; no "
            "fact was looked at",
            axis="probability",
            shares=("score",),
            notes=(f"Drawn with seed {request.seed} from {n} layers of equal probability.",),
            details={"distribution": {str(site.layer): 1 / n for site in request.sites}},
        )
