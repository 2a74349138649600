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
        there = scored.reached
        return of_each(self.way, scored.dots[:, there], scored.cosines[:, there])

    def _whole(self, each: Floats) -> Floats:
        return over_facts(self.way, each)

    def _stability(self, each: Floats, seed: int) -> Floats | None:
        n, n_layers = each.shape
        if n < 2:
            return None
        rng = np.random.default_rng(seed)
        wins = np.zeros(n_layers)
        for start in range(0, self.resamples, _CHUNK):
            size = min(_CHUNK, self.resamples - start)
            drawn = each[rng.integers(n, size=(size, n))]  # (chunk, N, L)
            winners = self._fences.golden(over_facts(self.way, drawn))  # (chunk,)
            wins += np.bincount(winners, minlength=n_layers)
        return wins / self.resamples


def of_each(way: str, dots: Floats, cosines: Floats) -> Floats:
    """Return what each fact says of each layer, of its products and cosines, (N, L) all."""
    if way == "rank":
        return np.asarray(rankdata(dots, axis=1))
    if way == "normalised":
        size = np.sqrt((dots**2).mean(axis=1, keepdims=True))  # (N, 1)
        return np.asarray(np.divide(dots, size, out=np.zeros_like(dots), where=size > 0))
    return np.nan_to_num(cosines) if way == "cosine" else dots


def over_facts(way: str, each: Floats) -> Floats:
    """Take facts together, (..., N, L) -> (..., L)."""
    if way == "median":
        return np.asarray(np.median(each, axis=-2))
    if way == "trimmed":
        cut = int(TRIM * each.shape[-2])
        ordered = np.sort(each, axis=-2)
        return np.asarray(ordered[..., cut : each.shape[-2] - cut, :].mean(axis=-2))
    return np.asarray(each.mean(axis=-2))
