"""What tracing locators share: the facts that a model knows, their noise, and the ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from goldenlayers.errors import FactError, LocatorError, SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.locators.answers import ScoredPair, old_and_new
from goldenlayers.locators.base import Request
from goldenlayers.locators.fences import Fences, Floats
from goldenlayers.locators.ranked import golden_of, ranked
from goldenlayers.locators.ranking import FactAnswer, LayerRanking, Skipped
from goldenlayers.locators.stability import selection_stability
from goldenlayers.metrics.predict import predict
from goldenlayers.models.sites import EditSite
from goldenlayers.models.subject import subject_end, subject_rows
from goldenlayers.models.text import encode_texts, joined
from goldenlayers.passes.restoring import (
    KINDS,
    Restoration,
    TracedRow,
    fixed_noise,
    noise_deviation,
)

UNKNOWN = "the model does not know"


@dataclass(frozen=True, slots=True)
class KnownFact:
    """A fact that the model knows, ready to be traced.

    Attributes:
        pair: The fact with the old answer that is traced.
        row: Its prompt.
    """

    pair: ScoredPair
    row: TracedRow


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
    """

    kind: str = "mlp"
    window: int = 10
    draws: int = 10
    noise: float = 3.0

    def __post_init__(self) -> None:
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


def known_facts(request: Request) -> tuple[list[KnownFact], list[Skipped]]:
    """Return the facts that can be traced, and those that cannot.

    The answer traced is the record's old one, or the model's own where there is none. The model
    knows it if, fed with the answer, each of its tokens is the most likely one.

    Raises:
        LocatorError: If no fact is left.
    """
    answers = old_and_new(
        request.model, request.tokenizer, request.facts, progress=request.progress
    )
    why = {s.id: s.reason for s in answers.skipped}
    rows: list[KnownFact] = []
    for pair in answers.pairs:
        try:
            rows.append(KnownFact(pair, _traced_row(request.tokenizer, pair)))
        except FactError as error:
            why[pair.fact.id] = str(error)
    unknown = 0
    known = []
    for found, prediction in zip(
        rows, predict(request.model, [k.pair.old for k in rows]) if rows else [], strict=True
    ):
        if prediction.argmax == found.pair.old.answer:
            known.append(found)
        else:
            says = request.tokenizer.decode(list(prediction.argmax)).strip()
            why[found.pair.fact.id] = f"{UNKNOWN} {found.pair.old_text!r}: it predicts {says!r}"
            unknown += 1
    skipped = [Skipped(f.id, why[f.id]) for f in request.facts if f.id in why]
    if not known:
        others = [s for s in skipped if not s.reason.startswith(UNKNOWN)]
        raise LocatorError(
            f"none of the {len(request.facts)} facts can be traced: {UNKNOWN} {unknown} of them"
            + (f", {len(others)} are left out otherwise ({others[0].reason})" if others else "")
            + "; tracing needs facts that the model answers as their old answer says"
        )
    return known, skipped


def _traced_row(tokenizer: Any, pair: ScoredPair) -> TracedRow:
    fact, old = pair.fact, pair.old
    answer = fact.target_old if pair.old_source == "record" else None
    (row,) = subject_rows(tokenizer, [""], fact.prompt, fact.subject, answer)
    text, prompt = (
        joined(fact.prompt, answer) if answer is not None else (fact.prompt.rstrip(),) * 2
    )
    (_, (spans,)) = encode_texts(tokenizer, [text])
    end = subject_end(prompt, fact.subject)
    start = end - len(fact.subject.strip())
    first = next(i for i, (a, b) in enumerate(spans) if b > start and a < end)
    return TracedRow(old.ids[: old.n_prompt], first, row.subject, old.answer[0])


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
            f"traced on the {n} of {len(request.facts)} facts that the model knows; "
            f"{unknown} unknown, {len(skipped) - unknown} left out otherwise",
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
