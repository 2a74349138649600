"""What a way to edit every fact at every layer made, and how far two ways are apart."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from bench.spent import Spent
from goldenlayers.sweep.outcome import LayerOutcome

Edit = tuple[str, int]  # a fact's identifier and a layer


@dataclass
class Swept:
    """What a way to sweep made, and what it took."""

    updates: dict[Edit, torch.Tensor] = field(default_factory=dict)
    outcomes: dict[Edit, LayerOutcome] = field(default_factory=dict)
    values: Spent = field(default_factory=Spent)
    scoring: Spent = field(default_factory=Spent)
    value_work: int = 0
    scoring_work: int = 0

    def both(self) -> Spent:
        """Return the time of values and scoring together."""
        return self.values.plus(self.scoring)


@dataclass(frozen=True)
class Differences:
    """How far two ways to sweep are apart at the edits that both made.

    Attributes:
        edits: How many those are.
        update: Largest difference of an update, over its largest entry.
        nats: Largest difference of the new answer's cost, per token.
        scores: Which scores differ, in words.
    """

    edits: int
    update: float
    nats: float
    scores: tuple[str, ...]


def differences(a: Swept, b: Swept) -> Differences:
    edits = sorted(b.updates)
    error = max(
        float((a.updates[e] - b.updates[e]).abs().max() / b.updates[e].abs().max()) for e in edits
    )
    pairs = [(a.outcomes[e], b.outcomes[e]) for e in edits]
    # one score is no share but a number of nats
    shares = [name for name in pairs[0][0].scores if name != "nll_new"]
    differing = [
        f"{name} of {x.fact} at layer {x.layer}: {x.scores[name]} and {y.scores[name]}"
        for x, y in pairs
        for name in shares
        if x.scores[name] != y.scores[name]
    ]
    differing += [
        f"rewritten of {x.fact} at layer {x.layer}" for x, y in pairs if x.rewritten != y.rewritten
    ]
    nats = max(abs(x.nll_after - y.nll_after) for x, y in pairs)
    return Differences(len(edits), error, nats, tuple(differing))


def agreement(a: Swept, b: Swept) -> list[str]:
    """Return how far the two agree at the edits that both made."""
    d = differences(a, b)
    return [
        f"agreement over {d.edits} edits: updates differ by {d.update:.1e} of their largest entry; "
        f"the new answer's cost by {d.nats:.1e} nats a token; all other scores are "
        + ("equal" if not d.scores else "DIFFERENT: " + "; ".join(d.scores))
    ]
