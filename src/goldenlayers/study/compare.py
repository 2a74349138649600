"""`compare`: ways to choose a layer, on equal terms.

Every method chooses on the same draws of proxy facts and sees nothing else. Every choice is judged
by the same edits of the same test facts, which brute force makes once, at all layers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from goldenlayers.errors import FactError, LocatorError, SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.facts.read import FactSet
from goldenlayers.locators.base import Locator, Request
from goldenlayers.locators.edits import EditSettings, made_of, means_of
from goldenlayers.locators.fences import Floats
from goldenlayers.locators.find import choose_facts
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.locators.registry import make_locator, settings_for
from goldenlayers.models.causal import require_causal
from goldenlayers.models.guard import untouched
from goldenlayers.models.load import ModelIdentity, identify
from goldenlayers.models.sites import choose_layers, find_sites
from goldenlayers.progress import Progress, Say, quiet, silent
from goldenlayers.study.comparison import Choice, Comparison, MethodResult
from goldenlayers.study.judge import NEAR, Judge, floor_of_proxies, floor_of_test
from goldenlayers.sweep.objective import LayerScores, ties
from goldenlayers.sweep.run import fill, prepared, store_for
from goldenlayers.sweep.store import Store
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
    identity: ModelIdentity | None = None,
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
        identity: Which model this is, if it is known better than from the model itself.
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
    unknown = settings.keys() - {n for m in methods for n in _own(m)} - _EDITING
    if unknown:
        raise SettingsError(f"no method has the setting {sorted(unknown)[0]!r}")
    editing = EditSettings(**{k: v for k, v in settings.items() if k in _EDITING})
    locators = {
        name: make_locator(name, **{k: v for k, v in settings.items() if k in _own(name)})
        for name in dict.fromkeys(methods)
    }
    if not locators:
        raise SettingsError("no method to compare was named")
    everything = choose_facts(facts, "all", None)
    pool, tested = _parts(everything, test)
    draws = draw(pool, proxy, repeats, seed)
    all_sites = find_sites(model, site)
    sites = choose_layers(all_sites, layers)
    numbers = [s.layer for s in sites]
    with untouched(model):
        require_causal(model)
        sweep, kind = prepared(
            model, tokenizer, sites, editing.editor, templates=editing.templates,
            covariance=editing.covariance, settings=editing.editor_settings,
            batch_tokens=editing.batch_tokens, plain=editing.plain, seed=seed, say=say,
            progress=progress,
        )  # fmt: skip
        wanted = [*tested]
        if "brute-force" in locators:
            wanted += list({f.id: f for chosen in draws for f in chosen}.values())
        sweep.check([*tested, *(f for chosen in draws for f in chosen)])
        with store_for(store, kind, list(everything), resume) as kept:
            try:
                fill(sweep, wanted, numbers, kept, say=say, progress=progress)
                scores = LayerScores.of(kept.outcomes, [f.id for f in tested], numbers)
                judge = Judge(scores, editing.objective, seed)
                results = []
                for name, locator in locators.items():
                    rankings: list[LayerRanking | str] = []
                    seconds = []
                    for r, chosen in enumerate(draws):
                        progress(f"choosing by {name}", r, len(draws))
                        request = Request(
                            model, tokenizer, chosen, sites, all_sites, seed + r,
                            opened=(sweep, kept),
                        )  # fmt: skip
                        begun = time.perf_counter()
                        try:
                            rankings.append(locator.rank(request))
                        except LocatorError as error:
                            rankings.append(f"draw {r}: {error}")
                        seconds.append(time.perf_counter() - begun)
                        progress(f"choosing by {name}", r + 1, len(draws))
                    results.append(_judged(name, locator, rankings, seconds, draws, judge, kept))
            except KeyboardInterrupt:
                where = f", kept in {kept.path}: --resume goes on" if kept.path else ""
                say(f"stopped after {len(kept.outcomes)} edits{where}")
                raise
            outcomes = dict(kept.outcomes)
    swept = [
        f.id for f in {f.id: f for chosen in draws for f in chosen}.values()
        if all((f.id, n) in outcomes for n in numbers)
    ]  # fmt: skip
    floor, floor_from = _floor(judge, outcomes, swept, numbers, proxy, seed)
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
        settings=asdict(editing)
        | {"proxy": proxy, "repeats": repeats, "test": len(tested), "pool": len(pool)}
        | {"seed": seed, "site": site, "facts": everything.source, "sha256": everything.sha256},
        model=(identity or identify(model)).to_dict(),
        versions=versions(),
        seconds={
            "compare": time.perf_counter() - start,
            "test_edits": _edit_seconds(outcomes, [f.id for f in tested], numbers),
        },
    )


def _own(method: str) -> frozenset[str]:
    """Return which settings go to a method; "confidence" is the race's, not LGA's."""
    left_out = {"layer"} | ({"confidence"} if method == "lga" else set())
    return settings_for(method) - left_out


_EDITING = frozenset(EditSettings.__dataclass_fields__)


def draw(pool: Sequence[Fact], size: int, repeats: int, seed: int) -> list[list[Fact]]:
    """Draw sets of proxy facts; they share no fact as long as there are enough.

    Raises:
        SettingsError: If a number is out of range.
    """
    if not 1 <= size <= len(pool):
        raise SettingsError(f"proxy {size}: expected 1 to {len(pool)}, the proxy facts there are")
    if repeats < 1:
        raise SettingsError(f"repeats {repeats}: expected 1 or more")
    rng = np.random.default_rng(seed)
    order: list[int] = []
    draws = []
    for _ in range(repeats):
        if len(order) < size:
            order = [int(i) for i in rng.permutation(len(pool))]
        draws.append([pool[i] for i in order[:size]])
        order = order[size:]
    return draws


def _parts(facts: FactSet, test: int | None) -> tuple[list[Fact], list[Fact]]:
    pool = [f for f in facts if f.split == "proxy"]
    tested = [f for f in facts if f.split == "test"]
    if not pool or len(tested) < 2:
        raise FactError(
            f"{facts.source}: {len(pool)} facts marked as proxy and {len(tested)} as test; "
            'expected both, in the field "split": methods choose on the proxy facts and are '
            "judged on the test facts, two or more"
        )
    if test is not None and not 2 <= test <= len(tested):
        raise SettingsError(f"test {test}: expected 2 to {len(tested)}, the test facts there are")
    return pool, tested[:test]


def _judged(
    name: str,
    locator: Locator,
    rankings: Sequence[LayerRanking | str],
    seconds: Sequence[float],
    draws: Sequence[Sequence[Fact]],
    judge: Judge,
    store: Store,
) -> MethodResult:
    numbers = list(judge.scores.layers)
    choices, weights = [], []
    for r, (ranking, took) in enumerate(zip(rankings, seconds, strict=True)):
        if isinstance(ranking, str):
            continue
        details = ranking.details
        chances: Mapping[str, float] = details.get("distribution", {str(ranking.golden): 1.0})
        weight = np.array([chances.get(str(n), 0.0) for n in numbers])
        weights.append(weight)
        spent = took
        if "edit_seconds" in details:  # made earlier, or by another method: what they took then
            spent = details["edit_seconds"] + details.get("lga_seconds", 0.0)
        ids = [f.id for f in draws[r]]
        whole = _edit_seconds(store.outcomes, ids, numbers)
        if not whole:  # not swept: as the test facts were
            tested = judge.scores.facts
            whole = _edit_seconds(store.outcomes, tested, numbers) * len(ids) / len(tested)
        by_layer = np.array([np.nan if (v := ranking[n].score) is None else v for n in numbers])
        told = {k: details[k] for k in _TOLD if k in details}
        choices.append(
            Choice(
                draw=r,
                layer=ranking.golden,
                test_score=judge.score(weight),
                regret=judge.regret(weight).mean,
                rank_correlation=judge.rank_correlation(by_layer),
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


_TOLD = ("edits", "full_sweep", "regret_bound", "separated", "uncovered", "computed")


def _edit_seconds(outcomes: Mapping[Any, Any], ids: Sequence[str], layers: Sequence[int]) -> float:
    """Return what the edits of facts took when they were made; 0 if some were never made."""
    made = [outcomes.get((i, n)) for i in ids for n in layers]
    return 0.0 if None in made else float(sum(o.seconds for o in made if o is not None))


def _floor(
    judge: Judge,
    outcomes: Mapping[Any, Any],
    swept: Sequence[str],
    layers: Sequence[int],
    size: int,
    seed: int,
) -> tuple[Any, str]:
    if len(swept) >= size:
        proxies = LayerScores.of(outcomes, swept, layers)
        return floor_of_proxies(judge, proxies, size, seed)[0], "proxy"
    found = floor_of_test(judge, size, seed)
    return (None if found is None else found[0]), "test"
