"""Verified: LGA proposes, real edits dispose.

The best layers by LGA are raced with real edits (`goldenlayers.locators.race`): a small part of the
edits of a full sweep, and a bound on what was lost among the layers that raced. About the others it
says nothing, and it names them. Where the editor takes a window, the layers that LGA proposes are
those that the windows end at.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from goldenlayers.errors import SettingsError
from goldenlayers.locators.base import Request
from goldenlayers.locators.edits import EditSettings, how, made_of
from goldenlayers.locators.fences import Floats
from goldenlayers.locators.lga import LGA
from goldenlayers.locators.race import Race, race
from goldenlayers.locators.ranking import FactAnswer, LayerRanking, LayerScore
from goldenlayers.sweep.objective import LayerScores
from goldenlayers.sweep.outcome import Outcomes
from goldenlayers.sweep.run import fill
from goldenlayers.sweep.windows import in_words, width_of

ALL = 0  # as the number of layers that race


@dataclass(frozen=True)
class Verified(EditSettings):
    """A race of the layers that LGA proposes; see `EditSettings` for the other settings.

    Attributes:
        race: How many layers race, the best by LGA inside its fences; 0 for all layers, whatever
            LGA says.
        confidence: Of the bounds on all differences together, in (0, 1).
        lga: Settings of LGA.
    """

    race: int = 6
    confidence: float = 0.9
    lga: LGA = field(default_factory=LGA)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.race != ALL and self.race < 2:
            raise SettingsError(f"race {self.race}: expected 2 or more layers, or all")
        if not 0 < self.confidence < 1:
            raise SettingsError(f"confidence {self.confidence}: expected a number in (0, 1)")

    def rank(self, request: Request) -> LayerRanking:
        """Let LGA propose and race its proposals.

        Raises:
            LocatorError: If LGA can propose no layer, or no fact has a probe for the objective.
            FactError: If a fact cannot be edited.
            ResultError: If the store cannot be used.
            KeyboardInterrupt: On Ctrl-C; finished edits are in the store.
        """
        start = time.perf_counter()
        numbers = [site.layer for site in request.sites]
        proposed = replace(self.lga, confidence=None).rank(request)
        proposing = time.perf_counter() - start
        entered = list(proposed.order)
        if self.race == ALL:
            entered += [n for n in numbers if n not in entered]
        else:
            entered = entered[: self.race]
        order = np.random.default_rng(request.seed).permutation(len(request.facts))
        facts = [request.facts[i] for i in order]
        ids = [f.id for f in facts]
        with self.opened(request) as (sweep, store):
            raced = 0  # facts; on these, all the layers still in were edited already

            def make(n: int, racing: Sequence[int]) -> None:
                nonlocal raced
                fill(
                    sweep, facts[raced:n], [numbers[j] for j in racing], store,
                    say=request.say, progress=request.progress,
                    stage=f"race of {len(racing)} layers on {n} facts", engine=request.engine,
                )  # fmt: skip
                raced = n

            def contributions(n: int, racing: Sequence[int]) -> Floats:
                chosen = [numbers[j] for j in racing]
                scores = LayerScores.of(store.outcomes, ids[:n], chosen)
                return scores.contributions(self.objective)

            try:
                over = race(
                    [numbers.index(n) for n in entered], len(facts), make, contributions,
                    confidence=self.confidence,
                )  # fmt: skip
            except KeyboardInterrupt:
                request.say(f"stopped after {len(store.outcomes)} edits of the race{store.kept}")
                raise
            outcomes, width = dict(store.outcomes), width_of(sweep.editor)
        return self._ranking(request, proposed, over, ids, outcomes, width, proposing)

    def _ranking(
        self,
        request: Request,
        proposed: LayerRanking,
        over: Race,
        order: Sequence[str],
        outcomes: Outcomes,
        width: int,
        proposing: float,
    ) -> LayerRanking:
        numbers = [site.layer for site in request.sites]
        rank = {j: r + 1 for r, j in enumerate(over.order)}
        values = np.full((len(order), len(numbers)), np.nan)
        layers = []
        for j, number in enumerate(numbers):
            entrant = over.entrants.get(j)
            more: dict[str, float | None] = {"lga_rank": _or_none(proposed[number].rank)}
            score = None
            if entrant is not None:
                seen = LayerScores.of(outcomes, order[: entrant.facts], [number])
                values[: entrant.facts, j] = seen.of_each_fact(self.objective)[:, 0]
                score = float(seen.by_layer(self.objective)[0])
                more |= {
                    "facts": float(entrant.facts),
                    "behind": entrant.behind,
                    "at_most": entrant.at_most if np.isfinite(entrant.at_most) else None,
                }
            layers.append(LayerScore(number, score, rank.get(j), more=more))
        used = list(order[: max(e.facts for e in over.entrants.values())])
        raced = [(i, numbers[e.layer]) for e in over.entrants.values() for i in order[: e.facts]]
        whole = len(request.facts) * len(numbers)
        uncovered = [n for j, n in enumerate(numbers) if j not in over.entrants]
        golden = numbers[over.order[0]]
        texts = {f.id: f for f in request.facts}
        made = made_of(LayerScores.of(outcomes, used, [golden]), self.objective)
        return LayerRanking(
            method="verified",
            golden=golden,
            layers=tuple(layers),
            answers=tuple(FactAnswer(i, texts[i].target_new, texts[i].target_old) for i in used),
            fact_scores={"objective": values[: len(used)]},
            legend=f"score: {made}, in percent, over the facts that the layer raced on; behind: "
            f"less the winner's, on the facts of both; at most: its upper bound{in_words(width)}",
            axis=f"{made}, over the facts of each layer's race",
            shares=("score", "behind", "at_most"),
            notes=tuple(self._notes(over, numbers, len(raced), whole, uncovered)),
            details={
                "objective": self.objective,
                "editor_window": width,
                "confidence": self.confidence,
                "separated": over.separated,
                "regret_bound": over.regret if np.isfinite(over.regret) else None,
                "edits": len(raced),
                "full_sweep": whole,
                "edit_seconds": float(sum(outcomes[u].seconds for u in raced)),
                "lga_seconds": proposing,
                "lga_order": proposed.order,
                "lga_scores": {str(s.layer): s.score for s in proposed.layers},
                "looks": [
                    {"facts": n, "layers": [numbers[j] for j in racing]} for n, racing in over.looks
                ],
                "uncovered": uncovered,
                "computed": how([outcomes[u] for u in raced]),
            },
        )

    def _notes(
        self,
        over: Race,
        numbers: Sequence[int],
        edits: int,
        whole: int,
        uncovered: Sequence[int],
    ) -> list[str]:
        n, racing = over.looks[-1]
        others = sorted(numbers[j] for j in racing if j != over.order[0])
        rivals = f"layer{'s' * (len(others) > 1)} {', '.join(map(str, others))}"
        if not others:
            ended = "It raced alone."
        elif over.separated:
            ended = f"Better than {rivals} at confidence {self.confidence:g} after {n} facts."
        else:
            ended = (
                f"Not told apart from {rivals} at confidence {self.confidence:g} with all "
                f"{n} facts: take more facts, or treat them as equals."
            )
        bound = (
            f"Among the {len(over.entrants)} layers that raced none is better by more than "
            f"{100 * over.regret:.1f} points, at confidence {self.confidence:g}."
            if np.isfinite(over.regret)
            else "One fact gives no bound on what the other layers may be better."
        )
        notes = [
            ended,
            bound,
            f"{edits:,} edits, where a full sweep makes {whole:,}: {edits / whole:.0%}.",
        ]
        if uncovered:
            notes.append(
                f"Not raced, so not covered: layers {', '.join(map(str, uncovered))} "
                "(--race all covers them)."
            )
        return notes


def _or_none(value: int | None) -> float | None:
    return None if value is None else float(value)
