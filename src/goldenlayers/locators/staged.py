"""Staged: a few real edits in two rounds that close in on the best layers.

A small share of the edits of a full sweep: some facts at layers spread over the whole depth, the
others at the likeliest quarter of the layers (`locators.close_in`). What the
layers that were edited say of those beside them is told by a curve along the depth
(`locators.curve`), and how far the choice may be from the best layer is read off it. LGA's choice
on the same facts is judged beside it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from goldenlayers.errors import LocatorError, SettingsError
from goldenlayers.locators.base import Request
from goldenlayers.locators.close_in import ROUNDS, Closed, close_in
from goldenlayers.locators.curve import Resemblance
from goldenlayers.locators.edits import EditSettings, how, made_of
from goldenlayers.locators.fences import Floats
from goldenlayers.locators.lga import LGA
from goldenlayers.locators.ranked import golden_of, ranked
from goldenlayers.locators.ranking import FactAnswer, LayerRanking
from goldenlayers.sweep.objective import LayerScores
from goldenlayers.sweep.outcome import Outcomes
from goldenlayers.sweep.run import duration, fill
from goldenlayers.sweep.windows import in_words, width_of

LEAST = 1.5  # edits for each layer on average, as fewer say nothing
WORTH_TELLING = 5.0  # seconds
CONFIDENCE = 0.95  # of bounds, one-sided
STANDS_OUT = 0.5  # a chance of being the best below which no layer does
ALIKE = " None stands out: treat the runners-up as equals, or make more edits."


@dataclass(frozen=True)
class Staged(EditSettings):
    """A few edits in rounds; see `EditSettings` for the other settings.

    Attributes:
        share: Of the edits of a full sweep, which takes a little more of its time; in (0, 1].
        most_edits: Edits at most, however many facts there are; None for no such bound.
        like: How much layers and facts are taken to resemble each other.
        lga: Settings of LGA, whose choice is judged beside; None leaves it out.
    """

    share: float = 0.075
    most_edits: int | None = 150
    like: Resemblance = field(default_factory=Resemblance)
    lga: LGA | None = field(default_factory=LGA)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise SettingsError(f"share {self.share}: expected a number above 0, at most 1")
        if self.most_edits is not None and self.most_edits < 1:
            raise SettingsError(f"most_edits {self.most_edits}: expected 1 edit or more, or none")

    def rank(self, request: Request) -> LayerRanking:
        """Edit in rounds and choose.

        Raises:
            LocatorError: If no fact that was edited has a probe for the objective.
            FactError: If a fact cannot be edited.
            ResultError: If the store cannot be used.
            KeyboardInterrupt: On Ctrl-C; finished edits are in the store.
        """
        numbers = [site.layer for site in request.sites]
        order = np.random.default_rng(request.seed).permutation(len(request.facts))
        facts = [request.facts[i] for i in order]
        edits = self.edits(len(facts), len(numbers))
        with self.opened(request) as (sweep, store):
            made, start = 0, time.perf_counter()
            if store.outcomes and request.opened is None:
                request.say(f"{len(store.outcomes)} edits are there already, in {store.path}")

            def edit(some: Sequence[int], layers: Sequence[int]) -> Mapping[str, Floats]:
                nonlocal made
                chosen, wanted = [facts[i] for i in some], [numbers[j] for j in layers]
                fill(
                    sweep, chosen, wanted, store, stage="edits",
                    progress=partial(_counted, request, made, edits), engine=request.engine,
                    first_alone=False,
                )  # fmt: skip
                first, made = made == 0, made + len(some) * len(layers)
                left = (time.perf_counter() - start) / made * (edits - made)
                if first and left > WORTH_TELLING:
                    request.say(f"{edits} edits in {len(ROUNDS)} rounds: about {duration(left)}")
                return LayerScores.of(store.outcomes, [f.id for f in chosen], wanted).values

            try:
                found = close_in(
                    len(facts), len(numbers), edits, edit,
                    objective=self.objective, like=self.like, seed=request.seed,
                )  # fmt: skip
            except KeyboardInterrupt:
                request.say(f"stopped after {len(store.outcomes)} edits{store.kept}")
                raise
            made_by_us = [(facts[i].id, numbers[j]) for i, j in found.edited]
            outcomes = {at: store.outcomes[at] for at in made_by_us}
            width = width_of(sweep.editor)
        used = sorted({i for i, _ in found.edited})
        start = time.perf_counter()
        proposed = self._lga(replace(request, facts=[facts[i] for i in used]))
        proposing = time.perf_counter() - start
        return self._ranking(
            request, found, [facts[i].id for i in used], proposed, outcomes, width, proposing
        )

    def edits(self, n_facts: int, n_layers: int) -> int:
        """Return how many edits may be made."""
        whole = n_facts * n_layers
        wanted = max(math.ceil(self.share * whole), min(whole, round(LEAST * n_layers)))
        return wanted if self.most_edits is None else min(wanted, self.most_edits)

    def _lga(self, request: Request) -> LayerRanking | None:
        if self.lga is None:
            return None
        try:
            return replace(self.lga, confidence=None).rank(request)
        except LocatorError:  # its fences may exclude every layer
            return None

    def _ranking(
        self,
        request: Request,
        found: Closed,
        used: Sequence[str],
        proposed: LayerRanking | None,
        outcomes: Outcomes,
        width: int,
        proposing: float,
    ) -> LayerRanking:
        numbers = [site.layer for site in request.sites]
        best, n_layers = found.best, len(numbers)
        where = np.bincount([j for _, j in found.edited], minlength=n_layers)
        ahead = found.draws - found.draws[:, [best]]  # (DRAWS, L)
        more: dict[str, Floats] = {
            "edits": where.astype(float),
            "behind": found.mean - found.mean[best],
            "at_most": np.quantile(ahead, CONFIDENCE, axis=0),
            "likely": found.likely,
        }
        if proposed is not None:
            ranks = [proposed[n].rank for n in numbers]
            more["lga_rank"] = np.array([math.nan if r is None else r for r in ranks])
        layers = ranked(request.sites, found.mean, more=more)
        lost = found.lost(best)
        texts = {f.id: f for f in request.facts}
        scores = LayerScores.of(outcomes, used, numbers, partial=True)
        whole = len(request.facts) * n_layers
        made = made_of(scores, self.objective)
        return LayerRanking(
            method="staged",
            golden=golden_of(layers),
            layers=layers,
            answers=tuple(FactAnswer(i, texts[i].target_new, texts[i].target_old) for i in used),
            fact_scores={"objective": scores.of_each_fact(self.objective)},
            legend=f"score: {made}, in percent, by a curve through the edits; edits: made at the "
            "layer; behind: less the chosen layer's; at most: upper bound of that (95 %); "
            f"likely: how likely the layer is the best, by these edits{in_words(width)}",
            axis=f"{self.objective}, by a curve through a few edits",
            shares=("score", "behind", "at_most", "likely"),
            notes=tuple(self._notes(found, numbers, proposed, whole)),
            details={
                "objective": self.objective,
                "members": list(scores.members(self.objective)),
                "editor_window": width,
                "expected_loss": float(lost.mean()),
                "loss_at_most": float(np.quantile(lost, CONFIDENCE)),
                "edits": len(found.edited),
                "full_sweep": whole,
                "edit_seconds": float(sum(o.seconds for o in outcomes.values())),
                "lga_seconds": proposing,
                "lga_order": None if proposed is None else proposed.order,
                "rounds": [
                    {"facts": len(facts), "layers": [numbers[j] for j in at]}
                    for facts, at in found.rounds
                ],
                "computed": how(list(outcomes.values())),
            },
        )

    def _notes(
        self, found: Closed, numbers: Sequence[int], proposed: LayerRanking | None, whole: int
    ) -> list[str]:
        lost, edits = found.lost(found.best), len(found.edited)
        notes = [
            f"By these edits layer {numbers[found.best]} is the best one with a chance of "
            f"{found.likely[found.best]:.0%}."
            + (ALIKE if found.likely[found.best] < STANDS_OUT else ""),
            f"The best layer is expected to be {100 * lost.mean():.1f} points "
            f"better than the chosen one, and at most {100 * np.quantile(lost, CONFIDENCE):.1f} "
            f"(95 %).",
            f"{edits:,} edits, where a full sweep makes {whole:,}: {edits / whole:.0%}.",
        ]
        if proposed is not None:
            there = numbers.index(proposed.golden)
            apart = found.draws[:, found.best] - found.draws[:, there]
            low, high = np.quantile(apart, [1 - CONFIDENCE, CONFIDENCE])
            notes.append(
                "LGA chooses the same layer."
                if there == found.best
                else f"LGA chooses layer {proposed.golden}: worse by {100 * apart.mean():.1f} "
                f"points, by these edits ({100 * low:.1f} to {100 * high:.1f}, 90 %)."
            )
        return notes


def _counted(request: Request, before: int, edits: int, stage: str, done: int, total: int) -> None:
    """Tell the progress of a part as that of the whole."""
    request.progress(stage, min(before + done, edits), edits)
