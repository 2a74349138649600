"""A few real edits, closing in on the best layers in rounds.

The first round edits some facts at layers spread over the whole depth, half of the facts at those
between the others' (facts that share their layers are edited side by side, which is cheap). Then a
curve along the depth is laid through what is known (`goldenlayers.locators.curve`), and other facts
are edited at the few layers that are likeliest to be the best, each fact at all of them, so that
they are compared fairly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from goldenlayers.errors import LocatorError
from goldenlayers.locators.curve import Curve, Resemblance, curve
from goldenlayers.locators.fences import Floats
from goldenlayers.sweep.objective import combine, ties

# by round: share of the edits, and share of the layers that are edited; all of them in the first
ROUNDS: tuple[tuple[float, float], ...] = ((0.4, 1.0), (0.6, 0.25))
FEWEST = 4  # layers of a later round: of a shallow model a quarter would be one or two
LAYERS_OF_FACT = 6  # in the first round
OFFSETS = 2  # different sets of layers in the first round
DRAWS = 400  # of the curve, for how likely a layer is the best

# Edits facts at layers, all by position; returns (facts, layers) by name of the score, NaN where a
# fact has no probe for it.
Edit = Callable[[Sequence[int], Sequence[int]], Mapping[str, Floats]]


@dataclass
class Closed:
    """What was found.

    Attributes:
        mean: (L,) the objective.
        draws: (DRAWS, L) the objective as it may be, drawn from what is known.
        curves: By name of the score.
        edited: By position, facts and layers of the edits in the order in which they were made.
        rounds: Of each round, its facts and layers by position.
    """

    mean: Floats
    draws: Floats
    curves: Mapping[str, Curve]
    edited: list[tuple[int, int]] = field(default_factory=list)
    rounds: list[tuple[list[int], list[int]]] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Position of the layer that is chosen, of equals the shallowest."""
        return ties(self.mean)[0]

    @property
    def likely(self) -> Floats:
        """How likely each layer is the best, (L,)."""
        wins = np.bincount(self.draws.argmax(axis=1), minlength=self.draws.shape[1])
        return np.asarray(wins / len(self.draws))

    def lost(self, layer: int) -> Floats:
        """Return what the best layer may be better than one, (DRAWS,), by position."""
        return np.asarray(self.draws.max(axis=1) - self.draws[:, layer])


def close_in(
    n_facts: int,
    depth: int,
    edits: int,
    edit: Edit,
    *,
    objective: str = "mean",
    like: Resemblance | None = None,
    seed: int = 0,
) -> Closed:
    """Choose a layer with so many edits.

    Args:
        n_facts: How many facts there are; they are taken in turn.
        depth: How many layers.
        edits: About how many edits may be made; fewer are where facts and layers run out.
        edit: Makes them.
        objective: What the scores are combined to.
        like: How much layers and facts are taken to resemble each other.
        seed: Of the draws.

    Raises:
        LocatorError: If no edit of the first round has a score for the objective.
    """
    like = like or Resemblance()
    rng = np.random.default_rng(seed)
    seen: dict[str, list[tuple[int, int, float]]] = {}
    edited: list[tuple[int, int]] = []
    done: set[tuple[int, int]] = set()
    rounds: list[tuple[list[int], list[int]]] = []
    turn = 0  # facts are taken in turn, new ones first
    found: Closed | None = None
    for n, (share, of_layers) in enumerate(ROUNDS):
        last = n == len(ROUNDS) - 1
        budget = max(1, edits - len(edited) if last else round(share * edits))
        if found is None:
            groups = spread(n_facts, depth, budget)
            turn += sum(len(facts) for facts, _ in groups)
        else:
            # where facts are few, more layers of each
            n_layers = max(FEWEST, round(of_layers * depth), math.ceil(budget / n_facts))
            n_layers = min(depth, n_layers)
            taken = max(1, min(n_facts, round(budget / n_layers)))
            facts = [(turn + i) % n_facts for i in range(taken)]
            turn += taken
            layers = _likeliest(found, n_layers)
            groups = _missing(facts, layers, done)
        for facts, layers in groups:
            for name, values in edit(facts, layers).items():
                at = [(f, j, values[a, b]) for a, f in enumerate(facts)
                      for b, j in enumerate(layers)]  # fmt: skip
                seen.setdefault(name, []).extend(x for x in at if np.isfinite(x[2]))
            edited += [(f, j) for f in facts for j in layers]
            done.update((f, j) for f in facts for j in layers)
        rounds.append((
            sorted({f for fs, _ in groups for f in fs}), sorted({j for _, js in groups for j in js})
        ))  # fmt: skip
        found = _known(seen, depth, objective, like, rng)
    assert found is not None
    found.edited, found.rounds = edited, rounds
    return found


def spread(n_facts: int, depth: int, budget: int) -> list[tuple[list[int], list[int]]]:
    """Part a first round: a few layers of each fact, evenly along the depth, in sets.

    Returns:
        Facts and the layers that they are edited at, by position; each fact once, from the first.
    """
    taken = max(1, min(n_facts, round(budget / LAYERS_OF_FACT)))
    per_fact = min(depth, max(1, budget // taken))
    sets = min(OFFSETS, taken)
    # evenly from the first layer to the last; each set takes every other place, or all of them
    places = np.linspace(0, depth - 1, sets * per_fact).round().astype(int)
    groups: dict[tuple[int, ...], list[int]] = {}
    for fact in range(taken):
        layers = tuple(dict.fromkeys(int(j) for j in places[fact % sets :: sets]))
        groups.setdefault(layers, []).append(fact)
    return [(facts, list(layers)) for layers, facts in groups.items()]


def _likeliest(found: Closed, wanted: int) -> list[int]:
    """Return the layers that are likeliest to be the best, and of equals those with most score."""
    order = np.lexsort((-found.mean, -found.likely))
    return sorted(int(j) for j in order[:wanted])


def _missing(
    facts: Sequence[int], layers: Sequence[int], done: set[tuple[int, int]]
) -> list[tuple[list[int], list[int]]]:
    """Return what is to be edited of facts and layers; facts that lack the same go together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for fact in facts:
        left = tuple(j for j in layers if (fact, j) not in done)
        if left:
            groups.setdefault(left, []).append(fact)
    return [(them, list(left)) for left, them in groups.items()]


def _known(
    seen: Mapping[str, Sequence[tuple[int, int, float]]],
    depth: int,
    objective: str,
    like: Resemblance,
    rng: np.random.Generator,
) -> Closed:
    curves = {}
    for name, some in seen.items():
        if some:
            facts, layers, values = zip(*some, strict=True)
            curves[name] = curve(facts, layers, np.array(values), depth, like)
    wanted = {n: c for n, c in curves.items() if objective in ("mean", "harmonic", n)}
    if not wanted:
        raise LocatorError(
            f"objective {objective!r}: none of the facts that were edited has a probe for it"
        )
    means = np.stack([c.mean for c in wanted.values()])  # (M, L)
    # scores are taken to be off independently of each other
    drawn = np.stack([
        rng.multivariate_normal(c.mean, c.covariance, size=DRAWS, method="eigh")
        for c in wanted.values()
    ])  # (M, DRAWS, L)  # fmt: skip
    return Closed(combine(objective, means), combine(objective, drawn), curves)
