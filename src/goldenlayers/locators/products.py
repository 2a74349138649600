"""Inner products of old and new gradients, fact by fact, as facts are taken.

What layer gradient analysis (`goldenlayers.locators.lga`) adds up, and its kin weigh otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from goldenlayers.locators.answers import Answers, ScoredPair, old_and_new
from goldenlayers.locators.base import Request
from goldenlayers.locators.fences import Bools, Floats
from goldenlayers.locators.ranking import FactAnswer, Skipped
from goldenlayers.models.text import Row
from goldenlayers.passes.batch_tokens import room_for
from goldenlayers.passes.batches import pair_batch, pair_lengths
from goldenlayers.passes.dots import CROSS, NEW, OLD, GradientDots, gradient_dots
from goldenlayers.passes.room import Room, in_pieces

BATCH_TOKENS = 512  # where they are not chosen by the memory that is free


@dataclass(frozen=True)
class ScoreBatch:
    """The task of one batch; see `goldenlayers.cluster.engine.Task`.

    Attributes:
        names: By layer, the linear modules whose weights are looked at.
        room: Bound on the tokens that are run together; lowered where memory runs out.
    """

    names: tuple[tuple[str, ...], ...]
    room: Room

    def __call__(
        self, model: Any, tokenizer: Any, item: tuple[list[Row], list[Row]]
    ) -> tuple[Floats, Floats, Bools]:
        """Return products (3, L, B), losses (2, B) and whether a gradient came through (L,)."""
        modules = dict(model.named_modules())
        linears = [[modules[name] for name in layer] for layer in self.names]
        old, new = item
        products, losses = np.zeros((3, len(linears), len(old))), np.zeros((2, len(old)))
        reached = np.zeros(len(linears), dtype=bool)

        def run(group: list[int]) -> GradientDots:
            batch = pair_batch(old, new, group, device=model.device)
            return gradient_dots(model, linears, batch)

        for group, dots in in_pieces(pair_lengths(old, new), self.room, run, item="fact"):
            products[:, :, group] = dots.products.cpu().numpy()
            losses[:, group] = dots.losses.cpu().numpy()
            reached |= dots.reached.cpu().numpy()
        return products, losses, reached


class Products:
    """Facts scored so far.

    Args:
        request: What a locator is given.
        old_answer: "record" (the model's where a record has none) or "model".
        scope: "site" for the edit site's weight, "mlp" for every linear weight of the MLP.
        batch_tokens: Bound on the tokens in one batch; None to choose.

    Attributes:
        request: As given.
        pairs: The facts that were used, with their answers: N of them.
        skipped: Those that were not, and why.
        taken: How many were taken, used or not.
        products: (3, L, N) float64, see `goldenlayers.passes.dots.GradientDots`.
        losses: (2, N) float64, of the old and of the new answer, nats per token.
    """

    def __init__(self, request: Request, old_answer: str, scope: str, batch_tokens: int | None):
        self.request = request
        self._old_answer = old_answer
        self.pairs: list[ScoredPair] = []
        self.skipped: list[Skipped] = []
        self.taken = 0
        n_layers = len(request.sites)
        self.products = np.zeros((3, n_layers, 0))  # (3, L, N), see GradientDots
        self.losses = np.zeros((2, 0))
        self._came_through = np.zeros(n_layers, dtype=bool)
        self._task = ScoreBatch(
            tuple(tuple(site.mlp) if scope == "mlp" else (site.name,) for site in request.sites),
            room_for(request.model, batch_tokens, BATCH_TOKENS, request.say),
        )

    def take(self, facts: list[Any]) -> None:
        """Score more facts."""
        request, done_before = self.request, self.taken
        total = len(request.facts)

        def report(stage: str, done: int, count: int) -> None:
            request.progress(stage, done_before + done, total)

        answers = old_and_new(
            request.model,
            request.tokenizer,
            facts,
            old_answer=self._old_answer,
            cache=request.cache,
            say=request.say,
            progress=report,
        )
        products, losses = self._score(answers, len(facts), done_before)
        finite: Bools = np.asarray(
            np.isfinite(products).all(axis=(0, 1)) & np.isfinite(losses).all(axis=0)
        )
        for i in np.flatnonzero(~finite):
            bad: Bools = np.asarray(~np.isfinite(products[:, :, i]).all(axis=0))
            layers = [s.layer for s, b in zip(request.sites, bad, strict=True) if b]
            where = f"at layers {_spans(layers)}" if layers else "in the loss"
            reason = f"a value that is not finite {where} (try --dtype float32)"
            answers.skipped.append(Skipped(answers.pairs[i].fact.id, reason))
        self.pairs += [pair for pair, ok in zip(answers.pairs, finite, strict=True) if ok]
        self.skipped += answers.skipped
        self.products = np.concatenate([self.products, products[:, :, finite]], axis=2)
        self.losses = np.concatenate([self.losses, losses[:, finite]], axis=1)
        self.taken += len(facts)

    def _score(self, answers: Answers, taking: int, done_before: int) -> tuple[Floats, Floats]:
        request = self.request
        n = len(answers.pairs)
        products = np.zeros((3, len(request.sites), n))
        losses = np.zeros((2, n))
        done = taking - n  # skipped facts are done
        old, new = [p.old for p in answers.pairs], [p.new for p in answers.pairs]
        groups = self._task.room.parted(pair_lengths(old, new))
        rows = [([old[i] for i in group], [new[i] for i in group]) for group in groups]
        for at, found in request.at_work.run(self._task, rows):
            group = groups[at]
            products[:, :, group], losses[:, group], reached = found
            self._came_through |= reached
            done += len(group)
            request.progress("gradients", done_before + done, len(request.facts))
        return products, losses

    @property
    def reached(self) -> Bools:
        """Layers that a gradient came through and was not zero for every fact, (L,)."""
        nonzero = (self.products[OLD] > 0).any(1) & (self.products[NEW] > 0).any(1)
        return np.asarray(self._came_through & nonzero)

    @property
    def dots(self) -> Floats:
        """(N, L) inner products of old and new gradient."""
        return np.asarray(self.products[CROSS].T)

    @property
    def norms(self) -> tuple[Floats, Floats]:
        """(N, L) Frobenius norms of the old gradient, and of the new one."""
        return np.sqrt(self.products[OLD].T), np.sqrt(self.products[NEW].T)

    @property
    def cosines(self) -> Floats:
        """(N, L) cosines of old and new gradient; NaN where one of them is zero."""
        old, new = self.norms
        return np.divide(
            self.dots, old * new, out=np.full_like(self.dots, np.nan), where=old * new > 0
        )

    def answers(self) -> tuple[FactAnswer, ...]:
        """Return the facts that were used, with what they were scored with."""
        return tuple(
            FactAnswer(
                id=pair.fact.id,
                old_answer=pair.old_text,
                old_source=pair.old_source,
                old_ids=pair.old.answer if pair.old_source == "model" else None,
                new_answer=pair.fact.target_new,
                old_loss=float(self.losses[0, i]),
                new_loss=float(self.losses[1, i]),
            )
            for i, pair in enumerate(self.pairs)
        )


def _spans(layers: list[int]) -> str:
    """Return "3-7, 9" for [3, 4, 5, 6, 7, 9]."""
    parts: list[list[int]] = []
    for layer in layers:
        if parts and layer == parts[-1][-1] + 1:
            parts[-1].append(layer)
        else:
            parts.append([layer])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
