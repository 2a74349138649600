"""Ways to choose a layer from what gradients say of facts: candidates, and those they must beat.

Each takes the arrays of the proxy facts, (n, L) by name as tools/research/collect.py writes them,
and "layers", (L,) their numbers, and returns scores (L,); the layer with the greatest one is
chosen, the shallowest of several, NaN never. Those of `EDITING` look at some of the facts' own
scores too (`TRUTH`), as if they had made these edits; the others never do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from goldenlayers.locators.close_in import close_in
from goldenlayers.locators.curve import Resemblance
from goldenlayers.locators.fences import Fences
from goldenlayers.locators.predicted import WAYS as PREDICTED
from goldenlayers.locators.predicted import of_facts
from goldenlayers.locators.race import Race, race
from goldenlayers.locators.robust_lga import WAYS, of_each, over_facts
from goldenlayers.locators.staged import Staged
from goldenlayers.locators.verified import Verified
from goldenlayers.metrics.scores import MEAN_OF
from goldenlayers.sweep.objective import LayerScores

Floats = NDArray[np.float64]
Seen = Mapping[str, Floats]
Chooser = Callable[[Seen], Floats]
TRUTH = "truth_"


def fenced(scores: Floats) -> Floats:
    """Take out layers beyond Tukey's fences."""
    there = np.isfinite(scores)
    inside = np.zeros(len(scores), dtype=bool)
    inside[there] = Fences().inside(scores[there])
    return np.where(inside, scores, np.nan)


def lga(seen: Seen) -> Floats:
    """The paper's: sum over facts, fenced."""
    return fenced(_reached(seen, np.nansum(seen["lga_score"], 0)))


def robust(seen: Seen, way: str, *, fence: bool) -> Floats:
    """LGA's products of the facts that were used, taken together in another way."""
    used = np.isfinite(seen["lga_score"]).any(1)
    each = of_each(way, seen["lga_score"][used], seen["lga_cosine"][used])
    scores = _reached(seen, over_facts(way, each))
    return fenced(scores) if fence else scores


def total(seen: Seen, *, fenced_by_norms: bool = False) -> Floats:
    """LGA's sum without fences, or with fences on how large the new answer's gradients are."""
    scores = _reached(seen, np.nansum(seen["lga_score"], 0))
    if not fenced_by_norms:
        return scores
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.log(np.nanmean(seen["lga_new_norm"], 0))
    return np.where(np.isfinite(fenced(sizes)), scores, np.nan)


def effects(seen: Seen, way: str) -> Floats:
    """What one edit would do, to first order; as `--method predicted`."""
    moved = {n.removeprefix("transfer_"): x for n, x in seen.items() if n.startswith("transfer_")}
    return of_facts(way, seen["need"], moved)


def cma(seen: Seen) -> Floats:
    """Causal tracing's mean effect."""
    return np.asarray(np.nanmean(seen["cma_effect"], 0))


def fixed(seen: Seen, *, share: float | None = None, layer: int | None = None) -> Floats:
    """One layer: that of a number, or the next to it of those there are; or a share of them."""
    numbers = seen["layers"]
    depth = len(numbers)
    at = int(depth * (share or 0.0)) if layer is None else int(np.abs(numbers - layer).argmin())
    return np.asarray(np.arange(depth) == at, dtype=np.float64)


def staged(seen: Seen, share: float, like: Resemblance | None = None) -> Floats:
    """A share of the edits, in rounds that close in on the best layers; as `--method staged`."""
    truth = {n.removeprefix(TRUTH): x for n, x in seen.items() if n.startswith(TRUTH)}
    n, depth = seen["lga_score"].shape
    edits = Staged(share=share, most_edits=None).edits(n, depth)
    return close_in(
        n, depth, edits,
        lambda facts, layers: {name: x[np.ix_(facts, layers)] for name, x in truth.items()},
        like=like,
    ).mean  # fmt: skip


def verified(seen: Seen) -> Floats:
    """The best by LGA race with real edits; as `--method verified`."""
    over = raced(seen)
    return np.asarray(np.arange(seen["lga_score"].shape[1]) == over.order[0], dtype=np.float64)


def raced(seen: Seen) -> Race:
    """The race of `verified`, with the edits of the truth."""
    n = len(seen["lga_score"])
    truth = {name: seen[TRUTH + name] for name in MEAN_OF}
    settings = Verified()
    proposed = lga(seen)
    order = np.argsort(-proposed, kind="stable")  # NaN last
    entered = [int(j) for j in order if np.isfinite(proposed[j])][: settings.race]

    def contributions(some: int, racing: Sequence[int]) -> Floats:
        few = {name: x[:some, list(racing)] for name, x in truth.items()}
        ids = tuple(map(str, range(some)))
        return LayerScores(ids, tuple(racing), few).contributions(settings.objective)

    return race(entered, n, lambda *_: None, contributions, confidence=settings.confidence)


def _reached(seen: Seen, scores: Floats) -> Floats:
    """A layer that no gradient reaches has no score."""
    return np.where(np.nansum(np.abs(seen["lga_new_norm"]), 0) > 0, scores, np.nan)


RANDOM = "random"  # a layer at random: judged as the mean of all layers
BASELINES: dict[str, Chooser] = {
    "lga": lga,
    "cma": cma,
    "middle": partial(fixed, share=0.5),
    "layer 5": partial(fixed, layer=5),
}
CANDIDATES: dict[str, Chooser] = {
    f"{way}{', fenced' if fence else ''}": partial(robust, way=way, fence=fence)
    for way in WAYS
    for fence in (False, True)
}
CANDIDATES |= {
    "sum, no fences": total,
    "sum, fenced by norms": partial(total, fenced_by_norms=True),
    **{f"predicted, {way}": partial(effects, way=way) for way in PREDICTED},
}
EDITING: dict[str, Chooser] = {
    f"staged, {100 * share:g}% of the edits": partial(staged, share=share)
    for share in (0.05, Staged().share, 0.2)
}
STAGED = f"staged, {100 * Staged().share:g}% of the edits"  # with its defaults
EDITING["verified"] = verified
