"""Ways to choose a layer from what gradients say of facts: candidates, and those they must beat.

Each takes the arrays of the proxy facts, (n, L) by name as tools/research/collect.py writes them,
and returns scores (L,); the layer with the greatest one is chosen, the shallowest of several, NaN
never. Those of `EDITING` look at some of the facts' own scores too (`TRUTH`), as if they had made
these edits; the others never do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from goldenlayers.locators.close_in import close_in
from goldenlayers.locators.curve import Resemblance
from goldenlayers.locators.fences import Fences
from goldenlayers.locators.robust_lga import WAYS, of_each, over_facts
from goldenlayers.locators.staged import Staged

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


def need(seen: Seen) -> Floats:
    """How short a value suffices, to first order: what R-ROME really moves."""
    return -_mean(np.log(seen["need"]))


def transfer(seen: Seen, *scores: str) -> Floats:
    """How far an edit moves the rows of a score with the edited one, to first order."""
    rows = [seen[f"transfer_{name}"] for name in scores if f"transfer_{name}" in seen]
    return sum((_mean(np.log1p(np.maximum(x, 0.0))) for x in rows), np.zeros(_depth(seen)))


def harmless(seen: Seen) -> Floats:
    """How little an edit moves what must stay."""
    return -transfer(seen, "locality")


def effects(seen: Seen) -> Floats:
    """The three together, each in its own standard deviations over the layers."""
    parts = (need(seen), transfer(seen, "rephrase", "portability"), harmless(seen))
    return sum((_standard(x) for x in parts), np.zeros(_depth(seen)))


def cma(seen: Seen) -> Floats:
    """Causal tracing's mean effect."""
    return np.asarray(np.nanmean(seen["cma_effect"], 0))


def fixed(seen: Seen, *, share: float | None = None, layer: int | None = None) -> Floats:
    """One layer, by its number or its share of the depth."""
    depth = seen["lga_score"].shape[1]
    at = min(depth - 1, layer if layer is not None else int(depth * (share or 0.0)))
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


def _depth(seen: Seen) -> int:
    return seen["lga_score"].shape[1]


def _mean(values: Floats) -> Floats:
    """Mean over the facts that have the number, by layer; NaN where none has."""
    there = np.isfinite(values)
    count = there.sum(0)
    total = np.where(there, values, 0.0).sum(0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _standard(values: Floats) -> Floats:
    size = np.nanstd(values)
    return (values - np.nanmean(values)) / size if size > 0 else np.zeros_like(values)


def _reached(seen: Seen, scores: Floats) -> Floats:
    """A layer that no gradient reaches has no score."""
    return np.where(np.nansum(np.abs(seen["lga_new_norm"]), 0) > 0, scores, np.nan)


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
    "need of the value": need,
    "transfer to rephrasings": lambda seen: transfer(seen, "rephrase"),
    "transfer to all": lambda seen: transfer(seen, "rephrase", "portability"),
    "least harm": harmless,
    "effects together": effects,
}
EDITING: dict[str, Chooser] = {
    f"staged, {share:.0%} of the edits": partial(staged, share=share) for share in (0.05, 0.1, 0.2)
}
