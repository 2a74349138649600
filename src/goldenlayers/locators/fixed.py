"""A layer that somebody named: the habit of copying a number from a settings file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goldenlayers.errors import SettingsError
from goldenlayers.locators.base import Request
from goldenlayers.locators.ranked import golden_of, ranked
from goldenlayers.locators.ranking import LayerRanking


@dataclass(frozen=True)
class Fixed:
    """Always the same layer.

    Attributes:
        layer: Its number.
    """

    layer: int

    def rank(self, request: Request) -> LayerRanking:
        """Choose that layer; the others have no score.

        Raises:
            SettingsError: If it is not among the layers to choose among.
        """
        numbers = [site.layer for site in request.sites]
        if self.layer not in numbers:
            raise SettingsError(
                f"method 'fixed:{self.layer}': layer {self.layer} is not among those to choose "
                f"among, {min(numbers)} to {max(numbers)}"
            )
        layers = ranked(
            request.sites, np.array([1.0 if n == self.layer else np.nan for n in numbers])
        )
        return LayerRanking(
            method=f"fixed:{self.layer}",
            golden=golden_of(layers),
            layers=layers,
            answers=(),
            fact_scores={},
            legend="no score: the layer was named, no fact was looked at",
            axis="chosen",
        )
