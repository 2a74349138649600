"""A score by layer from a few edits here and there: a Gaussian process along the depth.

    value of an edit = level of the fact + curve at the layer + noise

Layers resemble their neighbours, so that an edit at one says something of those beside it, and a
fact has a level of its own, so that facts need not be edited at the same layers. The curve's
covariance is exponential; the levels' and the noise's are those of independent normal variables,
and the common mean is free. All of it is in units of the noise, whose size is estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from goldenlayers.errors import SettingsError
from goldenlayers.locators.fences import Floats

FREE = 1e4  # variance of the common mean, in units of the noise's
LEAST = 1e-6  # variance of the noise, where values do not differ


@dataclass(frozen=True)
class Resemblance:
    """How much layers and facts are taken to differ.

    Attributes:
        reach: Distance at which layers resemble each other by 1/e, as a share of the depth.
        spread: Standard deviation of the curve, in those of the noise.
        level: Standard deviation of the facts' levels, in those of the noise.
    """

    reach: float = 0.2
    spread: float = 0.5
    level: float = 2.5

    def __post_init__(self) -> None:
        for name in ("reach", "spread", "level"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise SettingsError(f"{name} {value}: expected a number above 0")


@dataclass(frozen=True)
class Curve:
    """What is known of a score at L layers.

    Attributes:
        mean: (L,) the score, for a fact of the mean level.
        covariance: (L, L) of what is not known about it.
    """

    mean: Floats
    covariance: Floats


def curve(
    facts: Sequence[int], layers: Sequence[int], values: Floats, depth: int, like: Resemblance
) -> Curve:
    """Lay a curve through the values of N edits.

    Args:
        facts: (N,) which fact each edit was of.
        layers: (N,) at which layer, by position.
        values: (N,) the score after it.
        depth: Number of layers, L.
        like: How much layers and facts resemble each other.
    """
    fact, layer = np.asarray(facts), np.asarray(layers)
    places = np.arange(depth)
    apart = np.abs(np.subtract.outer(places, places)) / depth
    prior = like.spread**2 * np.exp(-apart / like.reach)  # (L, L)
    same = np.equal.outer(fact, fact)
    known = FREE + prior[np.ix_(layer, layer)] + like.level**2 * same + np.eye(len(fact))  # (N, N)
    cross = FREE + prior[:, layer]  # (L, N)
    middle = float(values.mean())  # keeps the numbers small
    solved = np.linalg.solve(known, np.column_stack([values - middle, cross.T]))
    mean = middle + cross @ solved[:, 0]
    left = FREE + prior - cross @ solved[:, 1:]  # (L, L)
    # of the noise, by generalised least squares; one degree goes to the mean
    noise = float((values - middle) @ solved[:, 0]) / max(1, len(values) - 1)
    covariance = max(noise, LEAST) * (left + left.T) / 2
    return Curve(mean, covariance)
