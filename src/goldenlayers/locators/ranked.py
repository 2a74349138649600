"""From one number per layer to ranked layers, for locators without fences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from goldenlayers.errors import LocatorError
from goldenlayers.locators.fences import Floats
from goldenlayers.locators.ranking import LayerScore
from goldenlayers.models.sites import EditSite

# Scores that differ by less are the same score, rounded; the shallower layer comes first.
TIE = 1e-9


def ranked(
    sites: Sequence[EditSite],
    scores: Floats,
    *,
    stability: Floats | None = None,
    more: Mapping[str, Floats] | None = None,
) -> tuple[LayerScore, ...]:
    """Rank layers, the greatest score first.

    Args:
        sites: The layers, L of them, shallow first.
        scores: (L,); NaN for a layer that cannot be chosen.
        stability: (L,) share of resamples that each layer wins.
        more: Further numbers by name, (L,) each; NaN for none.

    Raises:
        LocatorError: If no layer has a score.
    """
    there = np.flatnonzero(np.isfinite(scores))
    if not len(there):
        raise LocatorError(f"none of the {len(sites)} layers has a score")
    rank: dict[int, int] = {}
    left = [int(j) for j in there]
    while left:  # the shallowest of those that tie with the best
        best = max(scores[j] for j in left)
        first = next(j for j in left if scores[j] >= best - TIE)
        rank[first] = len(rank) + 1
        left.remove(first)
    return tuple(
        LayerScore(
            layer=site.layer,
            score=_or_none(scores[j]),
            rank=rank.get(j),
            stability=None if stability is None else float(stability[j]),
            more={name: _or_none(values[j]) for name, values in (more or {}).items()},
        )
        for j, site in enumerate(sites)
    )


def golden_of(layers: Sequence[LayerScore]) -> int:
    """Return the layer that is ranked first."""
    return next(s.layer for s in layers if s.rank == 1)


def winners(scores: Floats) -> Floats:
    """Return how often each layer wins among resamples, (R, L) -> (L,), NaN never winning."""
    filled = np.where(np.isfinite(scores), scores, -np.inf)
    best = filled.max(axis=1, keepdims=True)
    first = np.argmax(filled >= best - TIE, axis=1)
    return np.bincount(first, minlength=scores.shape[1]) / len(scores)


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
