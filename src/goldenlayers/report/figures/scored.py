"""LGA's scores fact by fact, to choose anew on some of the facts or with other fences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goldenlayers.locators.fences import Fences, Floats
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.study.run.stored import Compared, StoredStudy


@dataclass(frozen=True)
class Scored:
    """What LGA says of each fact, at the layers that were edited.

    Attributes:
        layers: (L,) numbers of the layers that a gradient reached.
        each: (N, L) the inner products.
        ranking: What it comes from.
    """

    layers: tuple[int, ...]
    each: Floats
    ranking: LayerRanking

    def choose(self, scores: Floats, fence: float | None = 1.0) -> int:
        """Return the layer that scores, (L,), lead to."""
        return self.layers[int(Fences(fence).golden(scores))]


def scored(
    study: StoredStudy, cell: Compared, scope: str = "site", old_answer: str = "record"
) -> Scored | None:
    """Return what LGA says of a data set's proxy facts; None if it was not asked."""
    ranking = study.rankings.get((cell.model, cell.data, scope, old_answer))
    if ranking is None:
        return None
    at = [
        i for i, s in enumerate(ranking.layers)
        if s.reached and s.layer in set(cell.layers)
    ]  # fmt: skip
    if not at:
        return None
    return Scored(
        tuple(ranking.layers[i].layer for i in at),
        np.asarray(ranking.fact_scores["score"])[:, at],
        ranking,
    )
