"""LGA with another way to add up: what a few facts with huge gradients cannot own.

    score(l) = whole over facts i of each(i, l)

of each fact the inner products of old and new gradient, and over facts the mean of their ranks by
layer, of their values over their own size, of their cosines, the trimmed mean or the median. `lga`
itself is the sum, as in the paper (arXiv 2602.20207).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import rankdata

from goldenlayers.errors import SettingsError
from goldenlayers.locators.fences import Floats
from goldenlayers.locators.lga import LGA
from goldenlayers.locators.products import Products

WAYS = ("rank", "normalised", "trimmed", "median", "cosine")
TRIM = 0.1  # share of the facts that is left out at either end
_CHUNK = 50  # resamples at a time


@dataclass(frozen=True)
class RobustLGA(LGA):
    """LGA weighed otherwise. Settings as `LGA`, and one more.

    Attributes:
        way: How facts are taken together: "rank" (mean of each fact's ranks of the layers, the
            worst layer 1), "normalised" (mean of its products over their root mean square over the
            layers), "trimmed" (mean without a tenth of the facts at either end, layer by layer),
            "median", or "cosine" (mean of the cosines).
    """

    way: str = "rank"

    name: ClassVar[str] = "robust-lga"
    _legend: ClassVar[str] = (
        "score: LGA's products, fact by fact, taken together otherwise than by their sum; cosine "
        "and norms: means over facts; stability: share of resamples of the facts that a layer wins"
    )
    _axis: ClassVar[str] = "score: ⟨old gradient, new gradient⟩, taken together robustly"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.way not in WAYS:
            raise SettingsError(f"way {self.way!r} is unknown; expected one of {', '.join(WAYS)}")

    def _each(self, scored: Products) -> Floats:
        x = np.nan_to_num(scored.cosines) if self.way == "cosine" else scored.dots
        x = x[:, scored.reached]  # (N, reached)
        if self.way == "rank":
            return np.asarray(rankdata(x, axis=1))
        if self.way == "normalised":
            size = np.sqrt((x**2).mean(axis=1, keepdims=True))  # (N, 1)
            return np.asarray(np.divide(x, size, out=np.zeros_like(x), where=size > 0))
        return np.asarray(x)

    def _whole(self, each: Floats) -> Floats:
        return self._over_facts(each)

    def _over_facts(self, each: Floats) -> Floats:
        """Take facts together, (..., N, L) -> (..., L)."""
        if self.way == "median":
            return np.asarray(np.median(each, axis=-2))
        if self.way == "trimmed":
            cut = int(TRIM * each.shape[-2])
            ordered = np.sort(each, axis=-2)
            return np.asarray(ordered[..., cut : each.shape[-2] - cut, :].mean(axis=-2))
        return np.asarray(each.mean(axis=-2))

    def _stability(self, each: Floats, seed: int) -> Floats | None:
        n, n_layers = each.shape
        if n < 2:
            return None
        rng = np.random.default_rng(seed)
        wins = np.zeros(n_layers)
        for start in range(0, self.resamples, _CHUNK):
            size = min(_CHUNK, self.resamples - start)
            drawn = each[rng.integers(n, size=(size, n))]  # (chunk, N, L)
            winners = self._fences.golden(self._over_facts(drawn))  # (chunk,)
            wins += np.bincount(winners, minlength=n_layers)
        return wins / self.resamples
