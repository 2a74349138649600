"""Tukey's fences: which layers may be chosen at all.

Layers whose score lies outside [Q1 - k IQR, Q3 + k IQR] are excluded, once, boundary kept
(arXiv 2602.20207, k = 1). The paper does not name the interpolation of the quartiles; NumPy's
"linear" is the default and the choice is recorded with each result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldenlayers.errors import LocatorError, SettingsError

QUARTILES = (
    "linear",
    "hazen",
    "weibull",
    "median_unbiased",
    "normal_unbiased",
    "interpolated_inverted_cdf",
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "lower",
    "higher",
    "midpoint",
    "nearest",
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fences:
    """How layers are excluded.

    Attributes:
        k: Width of the fences in interquartile ranges; None excludes nothing.
        quartiles: NumPy's name of the quantile method.
    """

    k: float | None = 1.0
    quartiles: str = "linear"

    def __post_init__(self) -> None:
        if self.k is not None and not (np.isfinite(self.k) and self.k >= 0):
            raise SettingsError(f"fence {self.k}: expected a number of 0 or more, or none")
        if self.quartiles not in QUARTILES:
            raise SettingsError(
                f"quartiles {self.quartiles!r} is unknown; expected one of {', '.join(QUARTILES)}"
            )

    def bounds(self, scores: Floats) -> tuple[Floats, Floats]:
        """Return lower and upper fence along the last axis, (..., L) -> (...), (...)."""
        if self.k is None:
            wide = np.full(scores.shape[:-1], np.inf)
            return -wide, wide
        method: Any = self.quartiles  # checked above; NumPy types it as a literal
        q1, q3 = np.quantile(scores, [0.25, 0.75], axis=-1, method=method)
        reach = self.k * (q3 - q1)
        return q1 - reach, q3 + reach

    def inside(self, scores: Floats) -> Bools:
        """Return which layers may be chosen, (..., L) -> (..., L)."""
        low, high = self.bounds(scores)
        return np.asarray((scores >= low[..., None]) & (scores <= high[..., None]))

    def golden(self, scores: Floats) -> NDArray[np.intp]:
        """Return the position of the best score inside the fences, (..., L) -> (...).

        Ties go to the first position, the shallower layer.

        Raises:
            LocatorError: If the fences exclude every layer.
        """
        inside = self.inside(scores)
        if not inside.any(axis=-1).all():
            raise LocatorError(
                f"the fences (k = {self.k}, {self.quartiles} quartiles) exclude all "
                f"{scores.shape[-1]} layers; widen them, or score more layers"
            )
        return np.asarray(np.argmax(np.where(inside, scores, -np.inf), axis=-1))
