"""Layer gradient analysis (LGA), arXiv 2602.20207.

    score(l) = sum_i < grad_{W_l} loss(Q_i, K_i) , grad_{W_l} loss(Q_i, K'_i) >
    golden   = argmax_l score(l)   over the layers inside Tukey's fences

loss(Q, A) is the mean negative log-likelihood, in nats, of the answer's tokens given the prompt.
Sum over facts, sign kept. W_l is the weight of the edit site (scope "site") or every linear weight
of the MLP (scope "mlp").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from goldenlayers.errors import LocatorError, SettingsError
from goldenlayers.locators.answers import OLD_ANSWERS
from goldenlayers.locators.base import Request
from goldenlayers.locators.fences import Fences, Floats
from goldenlayers.locators.products import Products
from goldenlayers.locators.ranking import LayerRanking, LayerScore
from goldenlayers.locators.stability import RESAMPLES, selection_stability
from goldenlayers.passes.batch_tokens import require_bound

SCOPES = ("site", "mlp")
CONFIDENCE_FIRST = 20  # facts before the first look: a bootstrap of fewer flatters the winner
CONFIDENCE_STEP = 10  # facts taken between two looks


@dataclass(frozen=True)
class LGA:
    """Layer gradient analysis.

    Attributes:
        old_answer: "record" (the model's where a record has none) or "model".
        scope: "site" or "mlp", see the module.
        fence: Width of Tukey's fences in interquartile ranges; None for no fences.
        quartiles: NumPy's quantile method for the fences.
        confidence: If set, take facts in seeded random order until the winner's selection
            stability reaches this value; else use all facts.
        resamples: Resamples behind the selection stability.
        batch_tokens: Bound on the tokens in one batch, a matter of memory and speed alone; None to
            choose, see `goldenlayers.passes.batch_tokens`.
    """

    old_answer: str = "record"
    scope: str = "site"
    fence: float | None = 1.0
    quartiles: str = "linear"
    confidence: float | None = None
    resamples: int = RESAMPLES
    batch_tokens: int | None = None

    name: ClassVar[str] = "lga"
    _legend: ClassVar[str] = (
        "score: inner product of the gradients of old and new answer, summed over facts; cosine "
        "and norms: means over facts; stability: share of resamples of the facts that a layer wins"
    )
    _axis: ClassVar[str] = "score: Σ ⟨old gradient, new gradient⟩"

    def __post_init__(self) -> None:
        _one_of("old_answer", self.old_answer, OLD_ANSWERS)
        _one_of("scope", self.scope, SCOPES)
        Fences(self.fence, self.quartiles)  # checks both
        if self.confidence is not None and not 0 < self.confidence <= 1:
            raise SettingsError(f"confidence {self.confidence}: expected a number in (0, 1]")
        if self.resamples < 1:
            raise SettingsError(f"resamples {self.resamples}: expected 1 or more")
        require_bound(self.batch_tokens)

    def rank(self, request: Request) -> LayerRanking:
        """Score the layers and choose one; see `goldenlayers.locators.base.Locator`."""
        scored = Products(request, self.old_answer, self.scope, self.batch_tokens)
        facts = list(request.facts)
        if self.confidence is None:
            scored.take(facts)
        else:
            order = np.random.default_rng(request.seed).permutation(len(facts))
            while scored.taken < len(facts):
                step = CONFIDENCE_STEP if scored.taken else CONFIDENCE_FIRST
                scored.take([facts[i] for i in order[scored.taken : scored.taken + step]])
                best = self._best_stability(scored)
                if best is not None and best >= self.confidence:
                    break
        return self._ranking(scored)

    @property
    def _fences(self) -> Fences:
        return Fences(self.fence, self.quartiles)

    def _each(self, scored: Products) -> Floats:
        """Return what each fact says of each layer that was reached, (N, reached)."""
        return scored.dots[:, scored.reached]

    def _whole(self, each: Floats) -> Floats:
        """Return the score of facts taken together, (N, L) -> (L,)."""
        return np.asarray(each.sum(axis=0))

    def _stability(self, each: Floats, seed: int) -> Floats | None:
        return selection_stability(each, self._fences, resamples=self.resamples, seed=seed)

    def _best_stability(self, scored: Products) -> float | None:
        """Return the winner's selection stability on the facts so far."""
        if not scored.pairs or not scored.reached.any():
            return None
        each = self._each(scored)
        stability = self._stability(each, scored.request.seed)
        if stability is None:
            return None
        return float(stability[self._fences.golden(self._whole(each))])

    def _ranking(self, scored: Products) -> LayerRanking:
        """Return the result for all facts taken."""
        sites, reached = scored.request.sites, scored.reached
        if not scored.pairs:
            found = scored.skipped
            first = f"; the first: {found[0].id}: {found[0].reason}" if found else ""
            raise LocatorError(f"none of the {scored.taken} facts could be scored{first}")
        if not reached.any():
            raise LocatorError(
                "no gradient reached any of the layers; is the edit site part of the forward pass? "
                "golden-layers inspect MODEL shows the sites"
            )
        positions = np.flatnonzero(reached)
        each = self._each(scored)  # (N, reached)
        among = self._whole(each)
        low, high = (float(b) for b in self._fences.bounds(among))
        inside = self._fences.inside(among)
        self._fences.golden(among)  # raises if nothing is left
        # best first; a stable sort keeps ties in order, so they go to the shallower layer
        order = [int(positions[i]) for i in np.argsort(-among, kind="stable") if inside[i]]
        stability = self._stability(each, scored.request.seed)
        cosine, (old, new) = scored.cosines, scored.norms
        layers = []
        for j, site in enumerate(sites):
            if not reached[j]:
                layers.append(
                    LayerScore(site.layer, None, None, inside_fences=False, reached=False)
                )
                continue
            at = int(np.searchsorted(positions, j))
            score = float(among[at])
            layers.append(
                LayerScore(
                    layer=site.layer,
                    score=score,
                    rank=order.index(j) + 1 if inside[at] else None,
                    inside_fences=bool(inside[at]),
                    side=None if inside[at] else "above" if score > high else "below",
                    mean_cosine=float(np.nanmean(cosine[:, j])),
                    old_norm=float(old[:, j].mean()),
                    new_norm=float(new[:, j].mean()),
                    stability=None if stability is None else float(stability[at]),
                )
            )
        return LayerRanking(
            method=self.name,
            golden=sites[order[0]].layer,
            layers=tuple(layers),
            answers=scored.answers(),
            fact_scores={
                "score": scored.dots, "cosine": cosine, "old_norm": old, "new_norm": new,
            },
            skipped=tuple(scored.skipped),
            fences=None if self.fence is None else (low, high),
            legend=self._legend,
            axis=self._axis,
        )  # fmt: skip


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} {value!r} is unknown; expected one of {', '.join(allowed)}")
