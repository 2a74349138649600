"""`LayerOutcome`: what editing one fact at one layer gave, and many of them as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goldenlayers.locators.fences import Floats

# The scores that are kept of each edit; see `goldenlayers.metrics.scores`.
SCORES = (
    "rewrite", "rephrase", "locality", "portability",
    "efficacy", "paraphrase", "neighbourhood", "nll_new",
)  # fmt: skip


@dataclass(frozen=True)
class LayerOutcome:
    """One fact edited at one layer, scored, undone.

    Attributes:
        fact: The fact's identifier.
        layer: The layer; of a window that was edited, the last.
        status: As of `goldenlayers.editors.outcome.Outcome`.
        reason: One sentence.
        nll_before: Mean negative log-likelihood of the new answer after the bare prompt, nats per
            token, before the edit.
        nll_after: The same with the edited weights.
        rewritten: Whether every token of the new answer is the most likely one after the edit.
        steps: How often the value's loss was evaluated.
        update_norm: Frobenius norm of the change of the weights; 0 where there is none.
        scores: By name, see `SCORES`; None where the fact has no probe for a score.
        seconds: Its share of the time of the batch that it was computed in.
        computed: How: "growing batch", or "plain loop" and why.
    """

    fact: str
    layer: int
    status: str
    reason: str
    nll_before: float
    nll_after: float
    rewritten: bool
    steps: int
    update_norm: float
    scores: Mapping[str, float | None]
    seconds: float
    computed: str

    @property
    def converged(self) -> bool:
        """Whether the editor reached its aim."""
        return self.status == "converged"


Outcomes = Mapping[tuple[str, int], LayerOutcome]


def array(
    outcomes: Outcomes,
    facts: Sequence[str],
    layers: Sequence[int],
    name: str,
    *,
    partial: bool = False,
) -> Floats:
    """Return one score, or one field, of all facts at all layers: (facts, layers), NaN for None.

    Args:
        outcomes: The outcomes.
        facts: Identifiers of the facts.
        layers: Numbers of the layers.
        name: Of the score or field.
        partial: Whether outcomes may be missing, NaN too.

    Raises:
        KeyError: If one is missing that must not be.
    """

    def value(fact: str, layer: int) -> Any:
        if partial and (fact, layer) not in outcomes:
            return None
        outcome = outcomes[fact, layer]
        return outcome.scores.get(name) if name in SCORES else getattr(outcome, name)

    values = [[value(fact, layer) for layer in layers] for fact in facts]
    return np.array([[np.nan if v is None else float(v) for v in row] for row in values]).reshape(
        len(facts), len(layers)
    )
