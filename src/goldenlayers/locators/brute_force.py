"""Brute force: every fact edited at every layer, scored, undone. The truth for these facts.

What other ways to choose predict is measured here: the score of a layer is the mean over the facts
of what the edits at that layer gave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goldenlayers.facts.fact import Fact
from goldenlayers.locators.base import Request
from goldenlayers.locators.edits import EditSettings, complete, how, made_of, means_of, stability
from goldenlayers.locators.ranked import golden_of, ranked
from goldenlayers.locators.ranking import FactAnswer, LayerRanking
from goldenlayers.sweep.engine import GROWING
from goldenlayers.sweep.objective import LayerScores, ties
from goldenlayers.sweep.outcome import Outcomes, array
from goldenlayers.sweep.run import fill
from goldenlayers.sweep.windows import in_words, width_of

SHARES = (
    "score", "standard_error", "rewrite", "rephrase", "locality", "portability", "converged",
)  # fmt: skip


@dataclass(frozen=True)
class BruteForce(EditSettings):
    """Edit at every layer and look; see `EditSettings` for the settings."""

    def rank(self, request: Request) -> LayerRanking:
        """Sweep all facts and layers; on Ctrl-C, rank by the facts that are done.

        Raises:
            FactError: If a fact cannot be edited.
            LocatorError: If no fact has a probe for the objective.
            ResultError: If the store cannot be used.
            KeyboardInterrupt: On Ctrl-C before the first fact is done.
        """
        layers = [site.layer for site in request.sites]
        facts = list(request.facts)
        stopped = False
        with self.opened(request) as (sweep, store):
            try:
                fill(
                    sweep, facts, layers, store,
                    say=request.say, progress=request.progress, engine=request.engine,
                )  # fmt: skip
            except KeyboardInterrupt:
                stopped = True
                made, whole = len(store.outcomes), len(facts) * len(layers)
                request.say(f"stopped after {made} of {whole} edits{store.kept}")
                facts = complete(facts, layers, store)
                if not facts:
                    raise
            outcomes, width = dict(store.outcomes), width_of(sweep.editor)
        return self._ranking(request, facts, layers, outcomes, width, stopped)

    def _ranking(
        self,
        request: Request,
        facts: Sequence[Fact],
        layers: Sequence[int],
        outcomes: Outcomes,
        width: int,
        stopped: bool,
    ) -> LayerRanking:
        ids = [f.id for f in facts]
        scores = LayerScores.of(outcomes, ids, layers)
        singles = means_of(scores)
        converged = array(outcomes, ids, layers, "converged")  # (N, L)
        by_layer = scores.by_layer(self.objective)  # (L,)
        found = ranked(
            request.sites,
            by_layer,
            stability=stability(scores, self.objective, request.seed),
            more={
                "standard_error": scores.standard_errors(self.objective),
                **singles,
                "converged": converged.mean(0),
            },
        )
        golden = golden_of(found)
        own, details = _sample_wise(scores, self.objective, layers.index(golden))
        computed = how([outcomes[i, n] for i in ids for n in layers])
        tied = [layers[j] for j in ties(by_layer)]
        made = made_of(scores, self.objective)
        notes = [f"The objective is the {made}." if self.objective in ("mean", "harmonic") else ""]
        if len(tied) > 1:
            notes.append(
                f"Layers {', '.join(map(str, tied))} tie exactly; the shallowest is taken."
            )
        notes.append(own)
        notes += [
            f"{count} of {len(ids) * len(layers)} edits: {text}."
            for text, count in computed.items()
            if text != GROWING
        ]
        if stopped:
            notes.append(f"Stopped: these are the {len(ids)} facts of {len(request.facts)} done.")
        return LayerRanking(
            method="brute-force",
            golden=golden,
            layers=found,
            answers=tuple(FactAnswer(f.id, f.target_new, f.target_old) for f in facts),
            fact_scores={"objective": scores.of_each_fact(self.objective), **scores.values},
            legend=f"score: {made}, in percent, over the facts edited one at a time; converged: "
            "share of the edits that took; stability: share of resamples that a layer wins"
            f"{in_words(width)}",
            axis=f"{self.objective} over the edited facts"
            if self.objective not in ("mean", "harmonic")
            else made,
            shares=SHARES,
            notes=tuple(note for note in notes if note),
            details={
                "objective": self.objective,
                "members": list(scores.members(self.objective)),
                "ties": tied,
                "editor_window": width,
                "sample_wise": details,
                "edits": len(ids) * len(layers),
                "edit_seconds": float(sum(outcomes[i, n].seconds for i in ids for n in layers)),
                "computed": computed,
                "stopped": stopped,
            },
        )


def _sample_wise(scores: LayerScores, objective: str, golden: int) -> tuple[str, dict[str, Any]]:
    """Return what choosing each fact's own best layer would give, as a line and for machines.

    Args:
        scores: Of the facts.
        objective: What is compared.
        golden: Position of the golden layer.
    """
    each = scores.of_each_fact(objective)  # (N, L)
    usable = [i for i in range(len(each)) if np.isfinite(each[i]).any()]
    best = {i: ties(each[i]) for i in usable}
    chosen = [best[i][0] if i in best else golden for i in range(len(each))]
    ceiling = scores.at(chosen, objective)
    shared = sum(golden in best[i] for i in usable)
    fixed = float(scores.by_layer(objective)[golden])
    line = (
        f"Ceiling: {100 * ceiling:.1f} if every fact were edited at its own best layer, against "
        f"{100 * fixed:.1f} at the golden layer, which is among the best of {shared} of "
        f"{len(usable)} facts."
    )
    return line, {
        "ceiling": ceiling,
        "golden": fixed,
        "layers": {scores.facts[i]: scores.layers[best[i][0]] for i in usable},
        "ties": {scores.facts[i]: [scores.layers[j] for j in best[i]] for i in usable},
        "counts": {
            str(scores.layers[j]): count
            for j, count in sorted(Counter(best[i][0] for i in usable).items())
        },
        "golden_among_best": shared,
    }
