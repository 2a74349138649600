"""Layer gradient analysis (LGA), arXiv 2602.20207.

    score(l) = sum_i < grad_{W_l} loss(Q_i, K_i) , grad_{W_l} loss(Q_i, K'_i) >
    golden   = argmax_l score(l)   over the layers inside Tukey's fences

loss(Q, A) is the mean negative log-likelihood, in nats, of the answer's tokens given the prompt.
Sum over facts, sign kept. W_l is the weight of the edit site (scope "site") or every linear weight
of the MLP (scope "mlp").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from goldenlayers.errors import LocatorError, SettingsError
from goldenlayers.locators.answers import OLD_ANSWERS, Answers, ScoredPair, old_and_new
from goldenlayers.locators.base import Request
from goldenlayers.locators.fences import Bools, Fences, Floats
from goldenlayers.locators.ranking import FactAnswer, LayerRanking, LayerScore, Skipped
from goldenlayers.locators.stability import RESAMPLES, selection_stability
from goldenlayers.passes.batches import pair_batches
from goldenlayers.passes.dots import CROSS, NEW, OLD, gradient_dots

SCOPES = ("site", "mlp")
LEGEND = (
    "score: inner product of the gradients of old and new answer, summed over facts; cosine and "
    "norms: means over facts; stability: share of resamples of the facts that a layer wins"
)
AXIS = "score: Σ ⟨old gradient, new gradient⟩"
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
        batch_tokens: Bound on the tokens in one batch; a matter of memory and speed alone.
    """

    old_answer: str = "record"
    scope: str = "site"
    fence: float | None = 1.0
    quartiles: str = "linear"
    confidence: float | None = None
    resamples: int = RESAMPLES
    batch_tokens: int = 512

    def __post_init__(self) -> None:
        _one_of("old_answer", self.old_answer, OLD_ANSWERS)
        _one_of("scope", self.scope, SCOPES)
        Fences(self.fence, self.quartiles)  # checks both
        if self.confidence is not None and not 0 < self.confidence <= 1:
            raise SettingsError(f"confidence {self.confidence}: expected a number in (0, 1]")
        if self.resamples < 1:
            raise SettingsError(f"resamples {self.resamples}: expected 1 or more")
        if self.batch_tokens < 1:
            raise SettingsError(f"batch_tokens {self.batch_tokens}: expected 1 or more")

    def rank(self, request: Request) -> LayerRanking:
        """Score the layers and choose one; see `goldenlayers.locators.base.Locator`."""
        scored = _Scored(request, self)
        facts = list(request.facts)
        if self.confidence is None:
            scored.take(facts)
        else:
            order = np.random.default_rng(request.seed).permutation(len(facts))
            while scored.taken < len(facts):
                step = CONFIDENCE_STEP if scored.taken else CONFIDENCE_FIRST
                scored.take([facts[i] for i in order[scored.taken : scored.taken + step]])
                best = scored.best_stability()
                if best is not None and best >= self.confidence:
                    break
        return scored.ranking()


class _Scored:
    """Facts scored so far."""

    def __init__(self, request: Request, settings: LGA):
        self.request = request
        self.settings = settings
        self.fences = Fences(settings.fence, settings.quartiles)
        self.pairs: list[ScoredPair] = []
        self.skipped: list[Skipped] = []
        self.taken = 0
        n_layers = len(request.sites)
        self.products = np.zeros((3, n_layers, 0))  # (3, L, N), see GradientDots
        self.losses = np.zeros((2, 0))
        self.came_through = np.zeros(n_layers, dtype=bool)
        modules = dict(request.model.named_modules())
        self.linears = [
            [modules[name] for name in (site.mlp if settings.scope == "mlp" else (site.name,))]
            for site in request.sites
        ]

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
            old_answer=self.settings.old_answer,
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
        batches = pair_batches(
            [p.old for p in answers.pairs],
            [p.new for p in answers.pairs],
            device=request.model.device,
            max_tokens=self.settings.batch_tokens,
        )
        for batch in batches:
            dots = gradient_dots(request.model, self.linears, batch)
            index = list(batch.index)
            products[:, :, index] = dots.products.cpu().numpy()
            losses[:, index] = dots.losses.cpu().numpy()
            self.came_through |= dots.reached.cpu().numpy()
            done += len(index)
            request.progress("gradients", done_before + done, len(request.facts))
        return products, losses

    @property
    def reached(self) -> Bools:
        """Layers that a gradient came through and was not zero for every fact, (L,)."""
        nonzero = (self.products[OLD] > 0).any(1) & (self.products[NEW] > 0).any(1)
        return np.asarray(self.came_through & nonzero)

    def best_stability(self) -> float | None:
        """Return the winner's selection stability on the facts so far."""
        if not self.pairs or not self.reached.any():
            return None
        scores = self.products[CROSS][self.reached].T  # (N, reached)
        stability = selection_stability(
            scores, self.fences, resamples=self.settings.resamples, seed=self.request.seed
        )
        if stability is None:
            return None
        return float(stability[self.fences.golden(scores.sum(0))])

    def ranking(self) -> LayerRanking:
        """Return the result for all facts taken."""
        sites, reached = self.request.sites, self.reached
        if not self.pairs:
            first = (
                f"; the first: {self.skipped[0].id}: {self.skipped[0].reason}"
                if self.skipped
                else ""
            )
            raise LocatorError(f"none of the {self.taken} facts could be scored{first}")
        if not reached.any():
            raise LocatorError(
                "no gradient reached any of the layers; is the edit site part of the forward pass? "
                "golden-layers inspect MODEL shows the sites"
            )
        dots = self.products[CROSS].T  # (N, L)
        old, new = np.sqrt(self.products[OLD].T), np.sqrt(self.products[NEW].T)
        norms = old * new
        cosine = np.divide(dots, norms, out=np.full_like(dots, np.nan), where=norms > 0)
        positions = np.flatnonzero(reached)
        scores = dots.sum(axis=0)
        among = scores[positions]
        low, high = (float(b) for b in self.fences.bounds(among))
        inside = self.fences.inside(among)
        self.fences.golden(among)  # raises if nothing is left
        # best first; a stable sort keeps ties in order, so they go to the shallower layer
        order = [int(positions[i]) for i in np.argsort(-among, kind="stable") if inside[i]]
        stability = selection_stability(
            dots[:, positions],
            self.fences,
            resamples=self.settings.resamples,
            seed=self.request.seed,
        )
        layers = []
        for j, site in enumerate(sites):
            is_in = bool(reached[j] and low <= scores[j] <= high)
            position = int(np.searchsorted(positions, j))
            layers.append(
                LayerScore(
                    layer=site.layer,
                    score=float(scores[j]) if reached[j] else None,
                    rank=order.index(j) + 1 if is_in else None,
                    inside_fences=is_in,
                    side=None
                    if is_in or not reached[j]
                    else "above"
                    if scores[j] > high
                    else "below",
                    reached=bool(reached[j]),
                    mean_cosine=float(np.nanmean(cosine[:, j])) if reached[j] else None,
                    old_norm=float(old[:, j].mean()) if reached[j] else None,
                    new_norm=float(new[:, j].mean()) if reached[j] else None,
                    stability=(
                        float(stability[position]) if stability is not None and reached[j] else None
                    ),
                )
            )
        return LayerRanking(
            method="lga",
            golden=sites[order[0]].layer,
            layers=tuple(layers),
            answers=tuple(self._answer(i) for i in range(len(self.pairs))),
            fact_scores={"score": dots, "cosine": cosine, "old_norm": old, "new_norm": new},
            skipped=tuple(self.skipped),
            fences=None if self.fences.k is None else (low, high),
            legend=LEGEND,
            axis=AXIS,
        )

    def _answer(self, i: int) -> FactAnswer:
        pair = self.pairs[i]
        return FactAnswer(
            id=pair.fact.id,
            old_answer=pair.old_text,
            old_source=pair.old_source,
            old_ids=pair.old.answer if pair.old_source == "model" else None,
            new_answer=pair.fact.target_new,
            old_loss=float(self.losses[0, i]),
            new_loss=float(self.losses[1, i]),
        )


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} {value!r} is unknown; expected one of {', '.join(allowed)}")


def _spans(layers: list[int]) -> str:
    """Return "3-7, 9" for [3, 4, 5, 6, 7, 9]."""
    parts: list[list[int]] = []
    for layer in layers:
        if parts and layer == parts[-1][-1] + 1:
            parts[-1].append(layer)
        else:
            parts.append([layer])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
