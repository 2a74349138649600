"""CMA: causal mediation analysis, ROME's causal tracing (arXiv 2202.05262, section 2.1).

Noise on the subject's embeddings makes the model forget the answer; what is put back of the clean
run at one layer, at the subject's last token, gives some of it back. The layer's score is how much:

    mean over facts and draws of  p(answer | restored) - p(answer | corrupted)

By default the outputs of the MLP in a window of ten layers are put back, as ROME does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goldenlayers.errors import SettingsError
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
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.batch_tokens import require_bound, room_for
from goldenlayers.passes.restoring import Restorable, Restoration, find_restorable
from goldenlayers.passes.room import Room
from goldenlayers.passes.tracing import GROWING, MAX_TOKENS, Trace, trace


@dataclass(frozen=True)
class TraceFact:
    """The task of one fact; see `goldenlayers.cluster.engine.Task`.

    Attributes:
        sites: Edit sites of every layer of the model.
        noise: The noise of the run.
        places: What can be put back.
        room: Bound on the tokens in one batch.
        plain: Whether the whole model is run for each layer.
    """

    sites: Sequence[EditSite]
    noise: Noise
    places: Restorable
    room: Room
    plain: bool

    def __call__(
        self, model: Any, tokenizer: Any, item: tuple[KnownFact, list[Restoration]]
    ) -> Trace:
        """Trace a fact with each of its restorations."""
        fact, wanted = item
        return trace(
            model, self.sites, fact.row, self.noise.of(fact), wanted, self.places,
            max_tokens=self.room, plain=self.plain,
        )  # fmt: skip


@dataclass(frozen=True)
class CMA(TraceSettings):
    """Causal tracing; see `goldenlayers.locators.traced.TraceSettings` for the other settings.

    Attributes:
        heat_map: Identifier of a fact that is traced at every token too; None for none.
        batch_tokens: Bound on the tokens in one batch, a matter of memory and speed alone; None to
            choose, see `goldenlayers.passes.batch_tokens`.
        plain: Run the whole model for each layer; a matter of speed alone.
    """

    heat_map: str | None = None
    batch_tokens: int | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_bound(self.batch_tokens)

    def rank(self, request: Request) -> LayerRanking:
        """Trace every fact that the model knows; the layer with the largest effect is chosen.

        Raises:
            SettingsError: If the fact of the heat map is not among the facts.
            LocatorError: If the model knows none of the facts.
            SiteError: If the attention is asked for and cannot be told.
        """
        if self.heat_map is not None and self.heat_map not in {f.id for f in request.facts}:
            raise SettingsError(
                f"heat_map {self.heat_map!r}: no fact that is traced has this id; the first of "
                f"{len(request.facts)} is {request.facts[0].id!r}"
            )
        places = find_restorable(request.model, request.all_sites, kinds_of(self.kind), self.window)
        known, skipped = known_facts(request, self.traced)
        noise = noise_of(request, known, self.draws, self.noise)
        room = room_for(request.model, self.batch_tokens, MAX_TOKENS, request.say)
        traced = TraceFact(request.all_sites, noise, places, room, self.plain)
        pieces = [(fact, restorations(fact, self.kind, request.sites)) for fact in known]
        traces = all_traced(request, traced, pieces)
        measured = [measured_of(t.clean, t.corrupted, t.effects, self.kind) for t in traces]
        notes = [
            f"computed by the {how}" for how in sorted({t.computed for t in traces} - {GROWING})
        ]
        heat_map = None
        if self.heat_map is not None:
            asked = [k for k in known if k.pair.fact.id == self.heat_map]
            heat_map = self._heat_map(request, asked[0], traced) if asked else None
            if not asked:
                reason = next(s.reason for s in skipped if s.id == self.heat_map)
                notes.append(f"no heat map of fact {self.heat_map}: {reason}")
        return traced_ranking(
            "cma",
            request,
            known,
            skipped,
            measured,
            axis="score: indirect effect on p(answer)",
            legend=f"score: what p(answer's first token) regains when {self.what} "
            "at the subject's last token are clean again; state: the same for the layer's output; "
            "stability: share of resamples that a layer wins",
            notes=notes,
            details={
                **self.details(noise),
                "computed": {
                    "restored_runs": sum(t.restored.size for t in traces),
                    "whole_tokens": sum(t.whole_tokens for t in traces),
                    "token_layers": sum(t.token_layers for t in traces),
                    "plain_facts": sum(t.computed != GROWING for t in traces),
                },
                "heat_map": heat_map,
            },
        )

    def _heat_map(self, request: Request, fact: KnownFact, traced: TraceFact) -> dict[str, Any]:
        row, layers = fact.row, [site.layer for site in request.sites]
        wanted = [
            Restoration(self.kind, layer, position)
            for position in range(len(row.ids))
            for layer in layers
        ]
        found = traced(request.model, request.tokenizer, (fact, wanted))
        effect = found.effects.mean(axis=1).reshape(len(row.ids), len(layers))
        return {
            "fact": fact.pair.fact.id,
            "tokens": [request.tokenizer.decode([token]) for token in row.ids],
            "subject": [row.first, row.last],
            "layers": layers,
            "effect": effect.tolist(),
            "clean": found.clean,
            "corrupted": float(found.corrupted.mean()),
        }
