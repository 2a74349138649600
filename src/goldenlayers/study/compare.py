"""`compare`: ways to choose a layer, on equal terms.

Every method chooses on the same draws of proxy facts and sees nothing else. Every choice is judged
by the same edits of the same test facts, which brute force makes once, at all layers.

Where the editor takes a window, a layer stands for the window that ends there. A method that ranks
single layers is judged by the window that `goldenlayers.edit` would take of its ranking.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from goldenlayers.cluster.engine import Engine
from goldenlayers.cluster.settings import Cluster, engine_of
from goldenlayers.errors import LocatorError, SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.locators.base import Locator, Request
from goldenlayers.locators.edits import EditSettings, made_of, means_of
from goldenlayers.locators.find import choose_facts
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.locators.registry import make_locator, settings_for
from goldenlayers.models.chat import chat_setting
from goldenlayers.models.guard import untouched
from goldenlayers.models.identity import ModelIdentity, identify
from goldenlayers.progress import Progress, Say, quiet, silent
from goldenlayers.study.chosen import ranks_windows, require_windows
from goldenlayers.study.comparison import Comparison
from goldenlayers.study.draws import draw, parts
from goldenlayers.study.ground import ground_of
from goldenlayers.study.judge import Judge
from goldenlayers.study.judged import edit_seconds, floor_of, judged
from goldenlayers.sweep.objective import LayerScores, ties
from goldenlayers.sweep.run import fill, store_for
from goldenlayers.versions import versions

METHODS = (
    "lga",
    "verified",
    "brute-force",
    "cma",
    "attribution-patching",
    "gradient-norm",
    "middle",
    "random",
)


def compare(
    model: Any,
    tokenizer: Any,
    facts: Sequence[Fact],
    methods: Sequence[str] = METHODS,
    *,
    proxy: int = 20,
    repeats: int = 5,
    test: int | None = None,
    layers: str | Sequence[int] | None = None,
    site: str | None = None,
    seed: int = 0,
    store: str | Path | None = None,
    resume: bool = False,
    cache: bool = True,
    identity: ModelIdentity | None = None,
    cluster: Cluster | Engine | None = None,
    say: Say = quiet,
    progress: Progress = silent,
    **settings: Any,
) -> Comparison:
    """Choose with every method on draws of proxy facts, and judge each choice on the test facts.

    The model is returned exactly as it came.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its fast tokenizer.
        facts: Facts, of which some are marked as proxy and some as test.
        methods: Names of locators.
        proxy: Proxy facts in a draw.
        repeats: Draws. They share no fact as long as there are enough.
        test: Use the first so many test facts; None for all.
        layers: Layers to choose among; None for all.
        site: Qualified name of the edit site, if structure does not tell.
        seed: Of the draws, the resampling and the methods; draw r uses seed + r.
        store: File that keeps every finished edit; None keeps nothing.
        resume: Go on with a store that holds outcomes.
        cache: As for `goldenlayers.find`.
        identity: Which model this is, if it is known better than from the model itself.
        cluster: As for `goldenlayers.find`.
        say: Called with a line when something is worth knowing, such as how long it will take.
        progress: Called with stage, items done and their total.
        **settings: Settings of the edits, see `goldenlayers.locators.edits.EditSettings`, and of
            the methods: each takes those that it has.

    Raises:
        SettingsError: If a setting is unknown or out of range.
        FactError: If there are no proxy or no test facts, or one cannot be edited.
        ResultError: If the store cannot be used.
    """
    start = time.perf_counter()
    unknown = settings.keys() - {n for m in methods for n in own_settings(m)} - _EDITING
    if unknown:
        raise SettingsError(f"no method has the setting {sorted(unknown)[0]!r}")
    editing = EditSettings(**{k: v for k, v in settings.items() if k in _EDITING})
    locators = {
        name: make_locator(name, **{k: v for k, v in settings.items() if k in own_settings(name)})
        for name in dict.fromkeys(methods)
    }
    if not locators:
        raise SettingsError("no method to compare was named")
    everything = choose_facts(facts, "all", None)
    pool, tested = parts(everything, test)
    draws = draw(pool, proxy, repeats, seed)
    with engine_of(cluster, model, tokenizer, say) as engine:
        on = ground_of(
            model, tokenizer, editing, layers=layers, site=site, seed=seed, say=say,
            progress=progress, engine=engine,
        )  # fmt: skip
        sweep, numbers, width, depth = on.sweep, on.numbers, on.width, len(on.all_sites)
        with untouched(model):
            if not all(ranks_windows(locator) for locator in locators.values()):
                require_windows(numbers, width, depth)
            wanted = [*tested]
            if "brute-force" in locators:
                wanted += list({f.id: f for chosen in draws for f in chosen}.values())
            sweep.check([*tested, *(f for chosen in draws for f in chosen)])
            with store_for(store, on.kind, list(everything), resume) as kept:
                request = Request(
                    model, tokenizer, tested, on.sites, on.all_sites, seed,
                    cache=cache, opened=(sweep, kept), engine=engine,
                )  # fmt: skip
                try:
                    fill(sweep, wanted, numbers, kept, say=say, progress=progress, engine=engine)
                    scores = LayerScores.of(kept.outcomes, [f.id for f in tested], numbers)
                    judge = Judge(scores, editing.objective, seed)
                    results = []
                    for name, locator in locators.items():
                        rankings, seconds = _chosen(name, locator, request, draws, progress)
                        own = 1 if ranks_windows(locator) else width
                        results.append(
                            judged(name, locator, rankings, seconds, draws, judge, kept, own, depth)
                        )
                except KeyboardInterrupt:
                    say(f"stopped after {len(kept.outcomes)} edits{kept.kept}")
                    raise
                outcomes = dict(kept.outcomes)
    swept = [
        f.id for f in {f.id: f for chosen in draws for f in chosen}.values()
        if all((f.id, n) in outcomes for n in numbers)
    ]  # fmt: skip
    floor, floor_from = floor_of(judge, outcomes, swept, numbers, proxy, seed)
    each = scores.of_each_fact(editing.objective)
    best = [ties(row)[0] if np.isfinite(row).any() else judge.golden for row in each]
    return Comparison(
        objective=editing.objective,
        made_of=made_of(scores, editing.objective),
        layers=tuple(numbers),
        test={
            "score": tuple(judge.by_layer.tolist()),
            "standard_error": tuple(scores.standard_errors(editing.objective).tolist()),
            **{name: tuple(values.tolist()) for name, values in means_of(scores).items()},
        },
        golden=numbers[judge.golden],
        ties=tuple(numbers[j] for j in ties(judge.by_layer)),
        ceiling=scores.at(best, editing.objective),
        floor=floor,
        floor_from=floor_from,
        methods=tuple(results),
        draws=tuple(tuple(f.id for f in chosen) for chosen in draws),
        test_facts=tuple(f.id for f in tested),
        each=tuple(tuple(row) for row in judge.each.tolist()),
        edits=tuple(outcomes[f.id, n] for f in tested for n in numbers),
        settings=asdict(editing)
        | {"proxy": proxy, "repeats": repeats, "test": len(tested), "pool": len(pool)}
        | {"editor_window": width}
        | {"seed": seed, "site": site, "facts": everything.source, "sha256": everything.sha256}
        | {"format": everything.format, "selection": list(everything.selection)}
        | chat_setting(tokenizer),
        model=(identity or identify(model)).to_dict(),
        versions=versions(),
        seconds={
            "compare": time.perf_counter() - start,
            "test_edits": edit_seconds(outcomes, [f.id for f in tested], numbers),
        },
    )


def _chosen(
    name: str, locator: Locator, request: Request, draws: Sequence[Sequence[Fact]],
    progress: Progress,
) -> tuple[list[LayerRanking | str], list[float]]:  # fmt: skip
    """Let a locator choose on each draw; return the rankings, or why there is none, and times."""
    rankings: list[LayerRanking | str] = []
    seconds = []
    for r, chosen in enumerate(draws):
        progress(f"choosing by {name}", r, len(draws))
        begun = time.perf_counter()
        try:
            rankings.append(locator.rank(replace(request, facts=chosen, seed=request.seed + r)))
        except LocatorError as error:
            rankings.append(f"draw {r}: {error}")
        seconds.append(time.perf_counter() - begun)
        progress(f"choosing by {name}", r + 1, len(draws))
    return rankings, seconds


def own_settings(method: str) -> frozenset[str]:
    """Return which settings go to a method; "confidence" is the race's, not LGA's or its kin's."""
    left_out = {"layer"} | ({"confidence"} if "lga" in method else set())
    return settings_for(method) - left_out


_EDITING = frozenset(EditSettings.__dataclass_fields__)
