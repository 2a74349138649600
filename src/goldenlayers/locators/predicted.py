"""Predicted: what one edit would do to all that is asked, from gradients alone.

From one forward and one backward pass over a fact's own probes (`passes.edit_effects`): how long a
value the new answer needs at a layer, how far the edit moves the rephrasings and the portability
probes with it, and how far it moves what must stay. Nothing is edited. It is the choice of a study,
not a recommendation: docs/research says how far from the truth it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from goldenlayers.errors import SettingsError
from goldenlayers.locators.base import Request
from goldenlayers.locators.effects import BATCH_TOKENS, fact_effects
from goldenlayers.locators.fences import Floats
from goldenlayers.locators.ranked import golden_of, ranked, winners
from goldenlayers.locators.ranking import FactAnswer, LayerRanking
from goldenlayers.metrics.scores import MEAN_OF
from goldenlayers.passes.batch_tokens import require_bound

NEED, REPHRASE, TRANSFER, HARMLESS, TOGETHER = (
    "need",
    "rephrase",
    "transfer",
    "harmless",
    "together",
)
WAYS = (TOGETHER, NEED, REPHRASE, TRANSFER, HARMLESS)
RESAMPLES = 400


@dataclass(frozen=True)
class Predicted:
    """The layer whose edit is predicted to do most good and least harm.

    Attributes:
        way: "need" (how short a value suffices, of what the site writes there), "rephrase" (how far
            rephrasings are moved with the edited prompt), "transfer" (these and the portability
            probes), "harmless" (how little locality's probes are moved), or "together" (need,
            transfer and harmless, each in its standard deviations over the layers).
        batch_tokens: Bound on the tokens in one batch, a matter of memory and speed alone.
    """

    way: str = TOGETHER
    batch_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise SettingsError(f"way {self.way!r} is unknown; expected one of {', '.join(WAYS)}")
        require_bound(self.batch_tokens)

    def rank(self, request: Request) -> LayerRanking:
        """Predict and choose.

        Raises:
            FactError: If a subject is not in its prompt.
            LocatorError: If no layer has a score.
        """
        found = fact_effects(
            request.model, request.tokenizer, request.sites, request.facts,
            batch_tokens=self.batch_tokens or BATCH_TOKENS, progress=request.progress,
        )  # fmt: skip
        nothing = np.full(len(request.sites), np.nan)
        need = np.stack([e.need for e in found])  # (N, L)
        transfer = {
            name: np.stack([e.transfer.get(name, nothing) for e in found])
            for name in MEAN_OF
            if any(name in e.transfer for e in found)
        }
        rng = np.random.default_rng(request.seed)
        n = len(found)
        drawn = [rng.integers(n, size=n) for _ in range(RESAMPLES)] if n > 1 else []
        again = [
            of_facts(self.way, need[rows], {name: x[rows] for name, x in transfer.items()})
            for rows in drawn
        ]
        layers = ranked(
            request.sites,
            of_facts(self.way, need, transfer),
            stability=winners(np.stack(again)) if again else None,
            more={"need": _mean(need)} | {f"moves_{k}": _mean(x) for k, x in transfer.items()},
        )
        return LayerRanking(
            method="predicted",
            golden=golden_of(layers),
            layers=layers,
            answers=tuple(
                FactAnswer(f.id, f.target_new, new_loss=e.loss)
                for f, e in zip(request.facts, found, strict=True)
            ),
            fact_scores={"need": need, **{f"moves_{k}": x for k, x in transfer.items()}},
            legend=f"score: {self.way}, to first order; need: length of the value that the answer "
            "needs, in norms of what the site writes; moves: how far a score's probes go with the "
            "edited prompt; stability: share of resamples of the facts that a layer wins",
            axis=f"predicted effects, {self.way}",
        )


def of_facts(way: str, need: Floats, transfer: Mapping[str, Floats]) -> Floats:
    """Take facts together, (N, L) all, by name of the score -> (L,); the greater the better."""
    if way == NEED:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(-_mean(np.log(need)))
    if way == REPHRASE:
        return _moved(transfer, "rephrase", like=need)
    if way == TRANSFER:
        return _moved(transfer, "rephrase", "portability", like=need)
    if way == HARMLESS:
        return -_moved(transfer, "locality", like=need)
    parts = [_standard(of_facts(one, need, transfer)) for one in (NEED, TRANSFER, HARMLESS)]
    return np.asarray(np.sum(parts, axis=0))


def _moved(transfer: Mapping[str, Floats], *scores: str, like: Floats) -> Floats:
    """Return how far scores' probes are moved; 0 at all layers if the facts have none of them."""
    there = [transfer[n] for n in scores if n in transfer and np.isfinite(transfer[n]).any()]
    parts = [_mean(np.log1p(np.maximum(x, 0.0))) for x in there]
    return np.asarray(np.sum(parts, axis=0)) if parts else np.zeros(like.shape[1])


def _mean(values: Floats) -> Floats:
    """Mean over the facts that have the number, by layer; NaN where none has."""
    there = np.isfinite(values)
    count = there.sum(0)
    total = np.where(there, values, 0.0).sum(0)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


def _standard(values: Floats) -> Floats:
    there = np.isfinite(values)
    size = values[there].std() if there.any() else 0.0
    if not size > 0:
        return np.where(there, 0.0, np.nan)
    return np.asarray((values - values[there].mean()) / size)
