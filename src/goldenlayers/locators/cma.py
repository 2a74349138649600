"""CMA: causal mediation analysis, ROME's causal tracing (arXiv 2202.05262, section 2.1).

Noise on the subject's embeddings makes the model forget the answer; what is put back of the clean
run at one layer, at the subject's last token, gives some of it back. The layer's score is how much:

    mean over facts and draws of  p(answer | restored) - p(answer | corrupted)

By default the outputs of the MLP in a window of ten layers are put back, as ROME does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from goldenlayers.errors import SettingsError
from goldenlayers.locators.base import Request
from goldenlayers.locators.known import KnownFact, known_facts
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.locators.traced import (
    Noise,
    TraceSettings,
    kinds_of,
    measured_of,
    noise_of,
    restorations,
    traced_ranking,
)
from goldenlayers.passes.batch_tokens import require_bound, room_for
from goldenlayers.passes.restoring import Restorable, Restoration, find_restorable
from goldenlayers.passes.room import Room
from goldenlayers.passes.tracing import GROWING, MAX_TOKENS, Trace, trace


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
        traces, measured = [], []
        for done, fact in enumerate(known, 1):
            wanted = restorations(fact, self.kind, request.sites)
            found = self._trace(request, fact, noise, wanted, places, room)
            measured.append(measured_of(found.clean, found.corrupted, found.effects, self.kind))
            traces.append(found)
            request.progress("tracing", done, len(known))
        notes = [
            f"computed by the {how}" for how in sorted({t.computed for t in traces} - {GROWING})
        ]
        heat_map = None
        if self.heat_map is not None:
            asked = [k for k in known if k.pair.fact.id == self.heat_map]
            heat_map = self._heat_map(request, asked[0], noise, places, room) if asked else None
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

    def _trace(
        self,
        request: Request,
        fact: KnownFact,
        noise: Noise,
        wanted: list[Restoration],
        places: Restorable,
        room: Room,
    ) -> Trace:
        return trace(
            request.model, request.all_sites, fact.row, noise.of(fact), wanted, places,
            max_tokens=room, plain=self.plain,
        )  # fmt: skip

    def _heat_map(
        self, request: Request, fact: KnownFact, noise: Noise, places: Restorable, room: Room
    ) -> dict[str, Any]:
        row, layers = fact.row, [site.layer for site in request.sites]
        wanted = [
            Restoration(self.kind, layer, position)
            for position in range(len(row.ids))
            for layer in layers
        ]
        found = self._trace(request, fact, noise, wanted, places, room)
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
