"""A cell of made-up numbers."""

from __future__ import annotations

import numpy as np


def made_up(n=40, layers=6, seed=0):
    """A cell in which layer 2 is best by a tenth, and facts differ."""
    rng = np.random.default_rng(seed)
    truth = 0.5 + 0.02 * rng.standard_normal((n, layers))
    truth[:, 2] += 0.1
    truth[:, 4] -= 0.2
    nothing = np.full((n, layers), np.nan)
    return {
        "facts": np.array([f"f{i}" for i in range(n)]),
        "layers": np.arange(10, 10 + layers),
        "truth_rewrite": truth,
        **{f"truth_{m}": nothing for m in ("rephrase", "locality", "portability")},
        "lga_score": rng.standard_normal((n, layers)),
        "hint": truth + 0.001 * rng.standard_normal((n, layers)),
    }


def always(layer):
    return lambda seen: np.arange(seen["hint"].shape[1]) == layer
