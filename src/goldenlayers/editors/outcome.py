"""What became of each fact that was edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from goldenlayers.facts.fact import Fact


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the value's optimisation; losses are those before the step's update.

    Attributes:
        loss: Total: nll + kl + decay, nats; PMET counts a tenth of nll once the answer is the
            likeliest.
        nll: Mean over templates of the new answer's mean negative log-likelihood, nats per token.
        kl: kl_factor times the divergence from the clean model after "{subject} is a".
        decay: weight_decay * |delta| / |v0|^2.
        norm: |delta|.
    """

    loss: float
    nll: float
    kl: float
    decay: float
    norm: float


@dataclass(frozen=True)
class Outcome:
    """What became of one fact.

    Attributes:
        fact: The fact.
        layers: Layers that were changed for it.
        status: "converged", "not converged", or "unreached" (the layer cannot carry the edit).
        reason: One sentence.
        nll_before: Mean negative log-likelihood of the new answer after the bare prompt, nats per
            token, before the edit.
        nll_after: The same with the edited weight.
        rewritten: Whether every token of the new answer is the most likely one after the edit.
        steps: The value's optimisation, step by step.
        details: What else the editor has to say, ready for JSON.
    """

    fact: Fact
    layers: tuple[int, ...]
    status: str
    reason: str
    nll_before: float
    nll_after: float
    rewritten: bool
    steps: tuple[Step, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def converged(self) -> bool:
        """Whether the editor reached its aim."""
        return self.status == "converged"
