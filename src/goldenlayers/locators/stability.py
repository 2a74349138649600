"""Selection stability: how often a layer wins when the facts are resampled.

A bootstrap over facts, fences recomputed on each resample. It says how much the choice owes to the
sample of facts. It is not the probability of being golden: a chooser can be certain and wrong.
"""

from __future__ import annotations

import numpy as np

from goldenlayers.locators.fences import Fences, Floats

RESAMPLES = 1000
_CHUNK = 100


def selection_stability(
    scores: Floats, fences: Fences, *, resamples: int = RESAMPLES, seed: int = 0
) -> Floats | None:
    """Resample facts with replacement and count the winners.

    Args:
        scores: (N, L) score of each fact at each layer that was reached; layers add up over facts.
        fences: How layers are excluded.
        resamples: Number of resamples.
        seed: Seed of the resampling.

    Returns:
        (L,) share of the resamples that each layer wins, summing to 1; None for fewer than two
        facts, where resampling says nothing.
    """
    n, n_layers = scores.shape
    if n < 2:
        return None
    rng = np.random.default_rng(seed)
    wins = np.zeros(n_layers)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        counts = rng.multinomial(n, np.full(n, 1.0 / n), size=size)  # (chunk, N)
        winners = fences.golden(counts @ scores)  # (chunk,)
        wins += np.bincount(winners, minlength=n_layers)
    return wins / resamples
