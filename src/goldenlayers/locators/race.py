"""A race of layers: successive halving over growing numbers of facts, with paired bounds.

Every layer still in the race is edited at on the first n facts; the better half stays, n doubles,
until the leader is better than every other layer still in at the confidence asked for, or the facts
are used up. Layers are compared on the facts that both were edited on, fact by fact, which takes
the facts' own difficulty out.

The bounds are one-sided Student intervals of the mean paired difference, at 1 - alpha / (k - 1) / R
for k layers and R looks (Bonferroni): approximate, as the differences are no normal variables, and
careful, as the looks are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit

from goldenlayers.locators.fences import Floats

FIRST = 8  # facts before the first look; an interval of fewer says nothing
# Scores of layers on facts: the first n facts (in the order of the race) and some layers, each by
# position; (n, len(layers)), whose means over the facts are the layers' scores.
Contributions = Callable[[int, Sequence[int]], Floats]
# Makes what `Contributions` needs: the first n facts at some layers.
Fill = Callable[[int, Sequence[int]], None]


@dataclass(frozen=True)
class Entrant:
    """What became of one layer.

    Attributes:
        layer: Its position.
        facts: On how many facts it was edited.
        behind: Its mean score less the winner's, on the facts of both; 0 for the winner.
        at_most: Upper bound of that at the confidence; 0 for the winner.
    """

    layer: int
    facts: int
    behind: float
    at_most: float


@dataclass
class Race:
    """A race that is over.

    Attributes:
        order: Positions of the layers, the winner first; those that left early come last.
        entrants: By position.
        separated: Whether the winner was better than every layer that was still in, at the
            confidence.
        looks: Facts at each look, and the layers that were in it.
        regret: Upper bound of what a raced layer may be better than the winner, at the confidence.
    """

    order: list[int] = field(default_factory=list)
    entrants: dict[int, Entrant] = field(default_factory=dict)
    separated: bool = False
    looks: list[tuple[int, list[int]]] = field(default_factory=list)
    regret: float = 0.0


def race(
    layers: Sequence[int],
    n_facts: int,
    fill: Fill,
    contributions: Contributions,
    *,
    confidence: float,
    first: int = FIRST,
) -> Race:
    """Race layers.

    Args:
        layers: Positions of the layers; of two that are equally good the one named first wins.
        n_facts: How many facts there are.
        fill: Makes the edits.
        contributions: Gives their scores.
        confidence: Of all the bounds together, in (0, 1).
        first: Facts before the first look.
    """
    sizes = [min(first, n_facts)]
    while sizes[-1] < n_facts:
        sizes.append(min(2 * sizes[-1], n_facts))
    alpha = (1 - confidence) / max(1, len(layers) - 1) / len(sizes)
    out = Race()
    racing = list(layers)
    seen = dict.fromkeys(layers, 0)
    gone: list[int] = []
    for n in sizes:
        fill(n, racing)
        seen |= dict.fromkeys(racing, n)
        out.looks.append((n, list(racing)))
        means = contributions(n, racing).mean(0)
        # a stable sort: ties keep the order in which the layers were named
        racing = [racing[i] for i in np.argsort(-means, kind="stable")]
        bounds = {
            rival: difference(contributions(n, [rival, racing[0]]), alpha) for rival in racing[1:]
        }
        out.separated = all(high < 0 for _, high in bounds.values())
        if out.separated:
            break
        if n < n_facts:
            stay = max(2, math.ceil(len(racing) / 2))
            gone = racing[stay:] + gone
            racing = racing[:stay]
    out.order = racing + gone
    winner = out.order[0]
    for layer in out.order:
        n = seen[layer]
        behind, high = (
            (0.0, 0.0) if layer == winner else difference(contributions(n, [layer, winner]), alpha)
        )
        out.entrants[layer] = Entrant(layer, n, behind, high)
    out.regret = max(0.0, *(e.at_most for e in out.entrants.values()))
    return out


def difference(pairs: Floats, alpha: float) -> tuple[float, float]:
    """Return mean of first less second column, and its upper bound at 1 - alpha.

    Args:
        pairs: (n, 2); rows with NaN are left out.
        alpha: One-sided.

    Returns:
        The bound is infinite with fewer than two rows.
    """
    d = pairs[:, 0] - pairs[:, 1]
    d = d[np.isfinite(d)]
    n = len(d)
    if n < 2:
        return (float(d.mean()) if n else math.nan), math.inf
    error = float(d.std(ddof=1)) / math.sqrt(n)
    return float(d.mean()), float(d.mean()) + float(stdtrit(n - 1, 1 - alpha)) * error
