"""Ways to choose a layer from what gradients say of facts: candidates, and those they must beat.

Each takes the arrays of the proxy facts, (n, L) by name as tools/research/collect.py writes them,
and returns scores (L,); the layer with the greatest one is chosen, the shallowest of several, NaN
never.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from goldenlayers.locators.fences import Fences

Floats = NDArray[np.float64]
Seen = Mapping[str, Floats]
Chooser = Callable[[Seen], Floats]


def fenced(scores: Floats) -> Floats:
    """Take out layers beyond Tukey's fences."""
    there = np.isfinite(scores)
    inside = np.zeros(len(scores), dtype=bool)
    inside[there] = Fences().inside(scores[there])
    return np.where(inside, scores, np.nan)


def lga(seen: Seen) -> Floats:
    """The paper's: sum over facts, fenced."""
    return fenced(_reached(seen, np.nansum(seen["lga_score"], 0)))


def normalised(seen: Seen, *, fence: bool) -> Floats:
    """Dots over each fact's own root mean square over layers, mean over facts."""
    x = _known(seen["lga_score"])
    x = x / np.sqrt((x**2).mean(1, keepdims=True))
    return _end(seen, x.mean(0), fence)


def ranks(seen: Seen, name: str, *, fence: bool) -> Floats:
    """Mean over facts of each layer's rank."""
    x = _known(seen[name])
    return _end(seen, x.argsort(1).argsort(1).mean(0).astype(np.float64), fence)


def middling(seen: Seen, name: str, *, trim: float, fence: bool) -> Floats:
    """Mean over facts without so large a share at either end; 0.5 for the median."""
    x = np.sort(_known(seen[name]), axis=0)
    if trim >= 0.5:
        return _end(seen, np.median(x, axis=0), fence)
    cut = int(trim * len(x))
    return _end(seen, x[cut : len(x) - cut].mean(0), fence)


def cma(seen: Seen) -> Floats:
    """Causal tracing's mean effect."""
    return np.asarray(np.nanmean(seen["cma_effect"], 0))


def fixed(seen: Seen, *, share: float | None = None, layer: int | None = None) -> Floats:
    """One layer, by its number or its share of the depth."""
    depth = seen["lga_score"].shape[1]
    at = min(depth - 1, layer if layer is not None else int(depth * (share or 0.0)))
    return np.asarray(np.arange(depth) == at, dtype=np.float64)


def _known(x: Floats) -> Floats:
    """Rows of the facts that were used."""
    return x[np.isfinite(x).any(1)]


def _reached(seen: Seen, scores: Floats) -> Floats:
    """A layer that no gradient reaches has no score."""
    return np.where(np.nansum(np.abs(seen["lga_new_norm"]), 0) > 0, scores, np.nan)


def _end(seen: Seen, scores: Floats, fence: bool) -> Floats:
    scores = _reached(seen, scores)
    return fenced(scores) if fence else scores


BASELINES: dict[str, Chooser] = {
    "lga": lga,
    "cma": cma,
    "middle": partial(fixed, share=0.5),
    "layer 5": partial(fixed, layer=5),
}
CANDIDATES: dict[str, Chooser] = {
    "normalised": partial(normalised, fence=False),
    "normalised, fenced": partial(normalised, fence=True),
    "ranks": partial(ranks, name="lga_score", fence=False),
    "ranks, fenced": partial(ranks, name="lga_score", fence=True),
    "median": partial(middling, name="lga_score", trim=0.5, fence=False),
    "median, fenced": partial(middling, name="lga_score", trim=0.5, fence=True),
    "trimmed, fenced": partial(middling, name="lga_score", trim=0.1, fence=True),
    "cosine": partial(middling, name="lga_cosine", trim=0.0, fence=False),
    "cosine, fenced": partial(middling, name="lga_cosine", trim=0.0, fence=True),
}
