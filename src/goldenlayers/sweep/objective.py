"""What makes a layer good: one number per layer from the scores of many facts.

"mean" is the unweighted mean of those among rewrite, rephrase, locality and portability that the
facts have, "harmonic" their harmonic mean. Each of them is first averaged over the facts that have
it. Numbers with different members are never to be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from goldenlayers.errors import LocatorError, SettingsError
from goldenlayers.locators.fences import Floats
from goldenlayers.locators.ranked import TIE
from goldenlayers.metrics.scores import MEAN_OF
from goldenlayers.sweep.outcome import Outcomes, array

OBJECTIVES = (*MEAN_OF, "mean", "harmonic")


@dataclass(frozen=True)
class LayerScores:
    """Scores of facts at layers.

    Attributes:
        facts: Identifiers of the facts, N.
        layers: Numbers of the layers, L.
        values: By name of the score: (N, L), NaN where a fact has no probe for it.
    """

    facts: tuple[str, ...]
    layers: tuple[int, ...]
    values: Mapping[str, Floats]

    @classmethod
    def of(
        cls,
        outcomes: Outcomes,
        facts: Sequence[str],
        layers: Sequence[int],
        *,
        partial: bool = False,
    ) -> LayerScores:
        """Take them from outcomes; NaN for those that are missing, if some may be."""
        return cls(
            tuple(facts),
            tuple(layers),
            {name: array(outcomes, facts, layers, name, partial=partial) for name in MEAN_OF},
        )

    def of_facts(self, chosen: Sequence[int]) -> LayerScores:
        """Return those of some facts, by position."""
        at = list(chosen)
        return LayerScores(
            tuple(self.facts[i] for i in at),
            self.layers,
            {name: values[at] for name, values in self.values.items()},
        )

    def members(self, objective: str) -> tuple[str, ...]:
        """Return the scores that an objective is made of, for these facts.

        Raises:
            SettingsError: If the objective is unknown.
            LocatorError: If no fact has such a score.
        """
        check(objective)
        wanted = MEAN_OF if objective in ("mean", "harmonic") else (objective,)
        there = tuple(n for n in wanted if not np.isnan(self.values[n]).all())
        if not there:
            raise LocatorError(
                f"objective {objective!r}: none of the {len(self.facts)} facts has a probe for "
                f"{' or '.join(wanted)}"
            )
        return there

    def means(self, name: str, weights: Floats | None = None) -> Floats:
        """Return a score's mean over the facts that have it, by layer: (L,), or (..., L).

        Args:
            name: Of the score.
            weights: (..., N), how often each fact counts; None for once.
        """
        values = self.values[name]
        there = ~np.isnan(values)
        filled = np.where(there, values, 0.0)
        if weights is None:
            weights = np.ones(len(values))
        count = weights @ there.astype(float)
        return np.asarray(
            np.divide(weights @ filled, count, out=np.full_like(count, np.nan), where=count > 0)
        )

    def by_layer(self, objective: str, weights: Floats | None = None) -> Floats:
        """Return the objective by layer: (L,), or (..., L) for weights (..., N)."""
        parts = np.stack([self.means(name, weights) for name in self.members(objective)])
        return combine(objective, parts)

    def contributions(self, objective: str) -> Floats:
        """Return what each fact contributes to the objective: (N, L), whose mean is `by_layer`.

        A fact without a member contributes that member's mean. The harmonic mean is linearised at
        the means over all the facts (delta method); for the others this is exact.
        """
        names = self.members(objective)
        n = len(self.facts)
        means = np.stack([self.means(name) for name in names])  # (M, L)
        whole = combine(objective, means)  # (L,)
        if objective == "harmonic":
            slopes = np.divide(
                whole**2, len(names) * means**2, out=np.zeros_like(means), where=means > 0
            )
        else:
            slopes = np.full_like(means, 1 / len(names))
        out = np.tile(whole, (n, 1))  # (N, L)
        for name, mean, slope in zip(names, means, slopes, strict=True):
            there = ~np.isnan(self.values[name])
            apart = np.where(there, self.values[name] - mean, 0.0)
            out += slope * apart * n / np.maximum(there.sum(0), 1)
        return out

    def standard_errors(self, objective: str) -> Floats:
        """Return the standard error of `by_layer` as an estimate for the facts' population, (L,).

        NaN with fewer than two facts.
        """
        n = len(self.facts)
        if n < 2:
            return np.full(len(self.layers), np.nan)
        return np.asarray(self.contributions(objective).std(axis=0, ddof=1) / np.sqrt(n))

    def of_each_fact(self, objective: str) -> Floats:
        """Return the objective of each fact alone, of the members that it has: (N, L)."""
        parts = np.stack([self.values[name] for name in self.members(objective)])  # (M, N, L)
        return combine(objective, parts)

    def at(self, chosen: Sequence[int], objective: str) -> float:
        """Return the objective when each fact is edited at its own layer, given by position."""
        rows = np.arange(len(self.facts))
        picked = {name: values[rows, list(chosen)][:, None] for name, values in self.values.items()}
        return float(LayerScores(self.facts, (0,), picked).by_layer(objective)[0])


def check(objective: str) -> None:
    """Refuse an unknown objective.

    Raises:
        SettingsError: If it is.
    """
    if objective not in OBJECTIVES:
        raise SettingsError(
            f"objective {objective!r} is unknown; expected one of {', '.join(OBJECTIVES)}"
        )


def ties(scores: Floats) -> list[int]:
    """Return the positions of the best score, (L,), shallow first; NaN never wins."""
    best = np.nanmax(scores)
    return [int(i) for i in np.flatnonzero(scores >= best - TIE)]


def combine(objective: str, parts: Floats) -> Floats:
    """Combine the members' values, (M, ...) -> (...); those that are NaN are left out."""
    there = ~np.isnan(parts)
    count = there.sum(0)
    if objective != "harmonic":
        total = np.where(there, parts, 0.0).sum(0)
        return np.asarray(
            np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        )
    zero = (there & (parts <= 0)).any(0)
    safe = np.where(there & (parts > 0), parts, 1.0)
    inverse = np.where(there, 1.0 / safe, 0.0).sum(0)
    whole = np.divide(count, inverse, out=np.full(inverse.shape, np.nan), where=count > 0)
    return np.asarray(np.where(zero, 0.0, whole))
