"""Attribution patching: CMA to first order, one forward and one backward pass per fact.

A cheap approximation of `goldenlayers.locators.cma`: the effect of putting back a clean output is
its distance from the corrupted one, along the gradient of the answer's probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from goldenlayers.locators.base import Request
from goldenlayers.locators.known import KnownFact, known_facts
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.locators.traced import (
    Noise,
    TraceSettings,
    all_traced,
    kinds_of,
    measured_of,
    noise_of,
    restorations,
    traced_ranking,
)
from goldenlayers.passes.attribution import Attribution, attribute
from goldenlayers.passes.restoring import Restorable, Restoration, find_restorable


@dataclass(frozen=True)
class AttributeFact:
    """The task of one fact; see `goldenlayers.cluster.engine.Task`.

    Attributes:
        noise: The noise of the run.
        places: What can be put back.
    """

    noise: Noise
    places: Restorable

    def __call__(
        self, model: Any, tokenizer: Any, item: tuple[KnownFact, list[Restoration]]
    ) -> Attribution:
        """Approximate the effects of a fact's restorations."""
        fact, wanted = item
        return attribute(model, fact.row, self.noise.of(fact), wanted, self.places)


@dataclass(frozen=True)
class AttributionPatching(TraceSettings):
    """Causal tracing to first order; see `goldenlayers.locators.traced.TraceSettings`."""

    def rank(self, request: Request) -> LayerRanking:
        """Approximate the effects; the layer with the largest one, on average, is chosen.

        Raises:
            LocatorError: If the model knows none of the facts.
            SiteError: If the attention is asked for and cannot be told.
        """
        places = find_restorable(request.model, request.all_sites, kinds_of(self.kind), self.window)
        known, skipped = known_facts(request, self.traced)
        noise = noise_of(request, known, self.draws, self.noise)
        pieces = [(fact, restorations(fact, self.kind, request.sites)) for fact in known]
        found = all_traced(request, AttributeFact(noise, places), pieces)
        measured = [measured_of(f.clean, f.corrupted, f.effects, self.kind) for f in found]
        tokens = sum(f.tokens for f in found)
        return traced_ranking(
            "attribution-patching",
            request,
            known,
            skipped,
            measured,
            axis="score: effect on p(answer), first order",
            legend="score: what p(answer's first token) would regain, to first order, if "
            f"{self.what} at the subject's last token were clean; state: the same for the layer's "
            "output; stability: share of resamples that a layer wins",
            details={
                **self.details(noise),
                "computed": {"whole_tokens": tokens},
            },
        )
