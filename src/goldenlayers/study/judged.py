"""From what methods chose to what a comparison tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from goldenlayers.facts.fact import Fact
from goldenlayers.locators.base import Locator
from goldenlayers.locators.fences import Floats
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.study.chosen import chosen_by
from goldenlayers.study.comparison import Choice, MethodResult
from goldenlayers.study.judge import NEAR, Judge, Regret, floor_of_proxies, floor_of_test
from goldenlayers.sweep.objective import LayerScores
from goldenlayers.sweep.store import Store


def judged(
    name: str,
    locator: Locator,
    rankings: Sequence[LayerRanking | str],
    seconds: Sequence[float],
    draws: Sequence[Sequence[Fact]],
    judge: Judge,
    store: Store,
    width: int,
    depth: int,
) -> MethodResult:
    """Judge a method's choices, one per draw.

    Args:
        name: The method's name.
        locator: The method.
        rankings: What it said of each draw; text where it could not choose, and why.
        seconds: What each took.
        draws: The proxy facts.
        judge: Knows the truth.
        store: The edits made so far.
        width: To how many layers a choice is widened; 1 for a method that ranks what is edited.
        depth: Of the model, in layers.
    """
    numbers = list(judge.scores.layers)
    choices, weights = [], []
    for r, (ranking, took) in enumerate(zip(rankings, seconds, strict=True)):
        if isinstance(ranking, str):
            continue
        details = ranking.details
        chances: Mapping[str, float] = details.get("distribution", {str(ranking.golden): 1.0})
        weight = np.zeros(len(numbers))
        for number, chance in chances.items():
            own = replace(ranking, golden=int(number))
            weight[numbers.index(chosen_by(own, width, depth))] += chance
        weights.append(weight)
        spent = took
        if "edit_seconds" in details:  # made earlier, or by another method: what they took then
            spent = details["edit_seconds"] + details.get("lga_seconds", 0.0)
        ids = [f.id for f in draws[r]]
        whole = edit_seconds(store.outcomes, ids, numbers)
        if not whole:  # not swept: as the test facts were
            tested = judge.scores.facts
            whole = edit_seconds(store.outcomes, tested, numbers) * len(ids) / len(tested)
        by_layer = np.array([np.nan if (v := ranking[n].score) is None else v for n in numbers])
        told = {k: details[k] for k in TOLD if k in details}
        choices.append(
            Choice(
                draw=r,
                layer=chosen_by(ranking, width, depth),
                test_score=judge.score(weight),
                regret=judge.regret(weight).mean,
                # scores of single layers are not those of windows
                rank_correlation=judge.rank_correlation(by_layer) if width == 1 else None,
                hit=judge.hit(weight),
                near=judge.hit(weight, NEAR),
                seconds=spent,
                relative=spent / whole if whole else None,
                told=told | {"order": ranking.order[:5], "facts_used": len(ranking.answers)},
            )
        )
    mean: Floats | None = np.mean(weights, axis=0) if weights else None
    return MethodResult(
        method=name,
        settings=asdict(locator),
        choices=tuple(choices),
        regret=None if mean is None else judge.regret(mean),
        failed=tuple(r for r in rankings if isinstance(r, str)),
    )


TOLD = ("edits", "full_sweep", "regret_bound", "separated", "uncovered", "computed")


def edit_seconds(outcomes: Mapping[Any, Any], ids: Sequence[str], layers: Sequence[int]) -> float:
    """Return what the edits of facts took when they were made; 0 if some were never made."""
    made = [outcomes.get((i, n)) for i in ids for n in layers]
    return 0.0 if None in made else float(sum(o.seconds for o in made if o is not None))


def floor_of(
    judge: Judge,
    outcomes: Mapping[Any, Any],
    swept: Sequence[str],
    layers: Sequence[int],
    size: int,
    seed: int,
) -> tuple[Regret | None, str]:
    """Return the oracle floor, and the facts that it comes from: "proxy", or else "test".

    Args:
        judge: Knows the truth.
        outcomes: The edits.
        swept: The proxy facts that were edited at all layers.
        layers: Numbers of the layers.
        size: How many proxy facts a choice is made on.
        seed: Of the sets that are drawn.
    """
    if len(swept) >= size:
        proxies = LayerScores.of(outcomes, swept, layers)
        return floor_of_proxies(judge, proxies, size, seed)[0], "proxy"
    return floor_of_test(judge, size, seed), "test"
