"""What tracing locators share: the facts that a model knows, their noise, and the ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from goldenlayers.cluster.engine import Task
from goldenlayers.errors import SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.locators.answers import ScoredPair
from goldenlayers.locators.base import Request
from goldenlayers.locators.fences import Fences, Floats
from goldenlayers.locators.known import UNKNOWN, KnownFact
from goldenlayers.locators.ranked import golden_of, ranked
from goldenlayers.locators.ranking import FactAnswer, LayerRanking, Skipped
from goldenlayers.locators.stability import selection_stability
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.restoring import (
    KINDS,
    Restoration,
    fixed_noise,
    noise_deviation,
)

TRACED = ("known", "own")


@dataclass(frozen=True)
class Measured:
    """What was measured of one fact.

    Attributes:
        clean: Probability of the answer's first token in the clean run.
        corrupted: The same in the corrupted runs, mean over draws.
        effect: (L,) mean over draws of the effect of each layer.
        state: (L,) that of the block's output alone; None where `effect` is that.
    """

    clean: float
    corrupted: float
    effect: Floats
    state: Floats | None = None


@dataclass(frozen=True)
class TraceSettings:
    """How facts are traced.

    Attributes:
        kind: What is put back: "mlp", "attention" or "state", the output of the layer itself. The
            state curve is shown beside the other two.
        window: How many layers "mlp" and "attention" put back together.
        draws: How many corrupted runs each fact has.
        noise: Standard deviation of the noise, in those of the subjects' embeddings.
        traced: "known": the old answers of the facts that the model knows, as published. "own":
            the model's own answer to every fact, whatever the record says; for data of which the
            model knows too little.
    """

    kind: str = "mlp"
    window: int = 10
    draws: int = 10
    noise: float = 3.0
    traced: str = "known"

    def __post_init__(self) -> None:
        if self.traced not in TRACED:
            raise SettingsError(
                f"traced {self.traced!r} is unknown; expected one of {', '.join(TRACED)}"
            )
        if self.kind not in KINDS:
            raise SettingsError(
                f"kind {self.kind!r} is unknown; expected one of {', '.join(KINDS)}"
            )
        for name, value in (("window", self.window), ("draws", self.draws)):
            if value < 1:
                raise SettingsError(f"{name} {value}: expected 1 or more")
        if not 0 < self.noise < float("inf"):
            raise SettingsError(f"noise {self.noise}: expected a number above 0")

    @property
    def what(self) -> str:
        """What is put back, in words."""
        if self.kind == "state":
            return "the layer's outputs"
        name = "MLP" if self.kind == "mlp" else "attention"
        return f"the {name}'s outputs in a window of {self.window} layers"

    def details(self, noise: Noise) -> dict[str, Any]:
        """Return the settings and the noise for machines."""
        return {
            "kind": self.kind,
            "window": self.window,
            "draws": self.draws,
            "noise_sd": noise.deviation,
            "traced": self.traced,
        }


def restorations(known: KnownFact, kind: str, sites: Sequence[EditSite]) -> list[Restoration]:
    """Return what is put back of one fact: kind by kind (`kinds_of`), layer by layer."""
    last = known.row.last
    return [Restoration(k, site.layer, last) for k in kinds_of(kind) for site in sites]


def measured_of(clean: float, corrupted: Floats, effects: Floats, kind: str) -> Measured:
    """Return the means over draws of one fact.

    Args:
        clean: See `Measured`.
        corrupted: (draws,).
        effects: (kinds * L, draws) in the order of `restorations`.
        kind: The locator's.
    """
    curves = effects.mean(axis=1).reshape(len(kinds_of(kind)), -1)  # (kinds, L)
    state = curves[1] if len(curves) > 1 else None
    return Measured(clean, float(corrupted.mean()), curves[0], state)


def kinds_of(kind: str) -> tuple[str, ...]:
    """Return what is measured for a kind: it, and the state curve beside it."""
    return (kind,) if kind == "state" else (kind, "state")


@dataclass(frozen=True)
class Noise:
    """The noise of a run.

    Attributes:
        deviation: Its standard deviation, in units of the embedding.
        width: Width of the embedding.
        draws: How many corrupted rows each fact has.
        seed: The run's seed.
    """

    deviation: float
    width: int
    draws: int
    seed: int

    def of(self, known: KnownFact) -> Tensor:
        """Return one fact's noise, (draws, s, d), s the subject's tokens."""
        return fixed_noise(
            known.row, self.width, draws=self.draws, deviation=self.deviation, seed=self.seed,
            name=known.pair.fact.id,
        )  # fmt: skip


def noise_of(request: Request, known: Sequence[KnownFact], draws: int, times: float) -> Noise:
    """Return the noise of a run, see `goldenlayers.passes.restoring.noise_deviation`."""
    deviation = noise_deviation(request.model, [k.row for k in known], times)
    width = int(request.model.get_input_embeddings().weight.shape[-1])
    return Noise(deviation, width, draws, request.seed)


def all_traced(
    request: Request, task: Task, pieces: Sequence[tuple[KnownFact, list[Restoration]]]
) -> list[Any]:
    """Return what a task finds of each fact with its restorations, in their order."""
    found: list[Any] = [None] * len(pieces)
    for done, (i, one) in enumerate(request.at_work.run(task, pieces), 1):
        found[i] = one
        request.progress("tracing", done, len(pieces))
    return found


def traced_ranking(
    method: str,
    request: Request,
    known: Sequence[KnownFact],
    skipped: Sequence[Skipped],
    measured: Sequence[Measured],
    *,
    axis: str,
    legend: str,
    notes: Sequence[str] = (),
    details: Mapping[str, Any],
) -> LayerRanking:
    """Rank the layers by their mean effect over facts.

    Args:
        method: Name of the locator.
        request: What it was given.
        known: The facts traced.
        skipped: The others.
        measured: One per fact traced.
        axis: What the score is.
        legend: What the numbers mean.
        notes: What is to be told beside the counts and probabilities.
        details: The same for machines.
    """
    n = len(known)
    effect = np.stack([m.effect for m in measured])  # (N, L)
    states = [m.state for m in measured if m.state is not None]
    state = np.stack(states) if states else None  # (N, L)
    error = effect.std(axis=0, ddof=1) / n**0.5 if n > 1 else np.full(effect.shape[1], np.nan)
    more = {"standard_error": error}
    if state is not None:
        more["state"] = state.mean(0)
    layers = ranked(
        request.sites,
        effect.mean(0),
        stability=selection_stability(effect, Fences(k=None), seed=request.seed),
        more=more,
    )
    clean = float(np.mean([m.clean for m in measured]))
    corrupted = float(np.mean([m.corrupted for m in measured]))
    unknown = sum(s.reason.startswith(UNKNOWN) for s in skipped)
    return LayerRanking(
        method=method,
        golden=golden_of(layers),
        layers=layers,
        answers=tuple(_answer(k.pair.fact, k.pair) for k in known),
        fact_scores={"effect": effect} | ({} if state is None else {"state": state}),
        skipped=tuple(skipped),
        legend=legend,
        axis=axis,
        shares=("score", *more),
        notes=(
            _on_what(n, len(request.facts), unknown, len(skipped) - unknown, details),
            f"probability of the answer's first token, mean over facts: {clean:.1%} clean, "
            f"{corrupted:.1%} with noise on the subject",
            *notes,
        ),
        details={"clean_probability": clean, "corrupted_probability": corrupted, **details},
    )


def _answer(fact: Fact, pair: ScoredPair) -> FactAnswer:
    return FactAnswer(
        fact.id,
        fact.target_new,
        pair.old_text,
        pair.old_source,
        pair.old.answer if pair.old_source == "model" else None,
    )


def _on_what(n: int, total: int, unknown: int, others: int, details: Mapping[str, Any]) -> str:
    if details.get("traced") == "own":
        return f"traced on the model's own answers to {n} of {total} facts; {others} left out"
    return (
        f"traced on the {n} of {total} facts that the model knows; {unknown} unknown, {others} "
        "left out otherwise"
    )
