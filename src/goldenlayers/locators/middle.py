"""The middle layer: the rule of thumb, with no look at model or facts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goldenlayers.locators.base import Request
from goldenlayers.locators.ranked import golden_of, ranked
from goldenlayers.locators.ranking import LayerRanking


@dataclass(frozen=True)
class Middle:
    """The layer in the middle of those to choose among; the shallower of two."""

    def rank(self, request: Request) -> LayerRanking:
        """Rank layers by their distance from the middle."""
        numbers = np.array([site.layer for site in request.sites])
        middle = numbers[(len(numbers) - 1) // 2]
        layers = ranked(request.sites, 0.0 - np.abs(numbers - middle))
        return LayerRanking(
            method="middle",
            golden=golden_of(layers),
            layers=layers,
            answers=(),
            fact_scores={},
            legend="score: distance from the middle, in layers, less than zero; no fact was looked "
            "at",
            axis="score: −distance from the middle",
        )
