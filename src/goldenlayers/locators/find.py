"""`find`: choose a layer of a model that is already loaded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from goldenlayers.cluster.engine import Engine
from goldenlayers.cluster.settings import Cluster, engine_of
from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.facts.fact_set import FactSet
from goldenlayers.locators.base import Locator, Request
from goldenlayers.locators.measured import measured
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.locators.registry import make_locator
from goldenlayers.models.causal import require_causal
from goldenlayers.models.chat import chat_setting
from goldenlayers.models.guard import untouched
from goldenlayers.models.identity import ModelIdentity, identify
from goldenlayers.models.sites import choose_layers, find_sites
from goldenlayers.passes.room import shortage_told
from goldenlayers.progress import Progress, Say, quiet, silent
from goldenlayers.versions import versions


def find(
    model: Any,
    tokenizer: Any,
    facts: Sequence[Fact],
    method: str | Locator = "auto",
    *,
    layers: str | Sequence[int] | None = None,
    site: str | None = None,
    split: str = "auto",
    limit: int | None = None,
    seed: int = 0,
    identity: ModelIdentity | None = None,
    store: str | Path | None = None,
    resume: bool = False,
    cache: bool = True,
    cluster: Cluster | Engine | None = None,
    say: Say = quiet,
    progress: Progress = silent,
    **settings: Any,
) -> LayerRanking:
    """Rank the layers of a model for editing facts, and choose one.

    The model is returned exactly as it came: weights, requires_grad flags, hooks, training mode,
    gradients.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its fast tokenizer.
        facts: Facts to choose on, a `FactSet` or any sequence.
        method: Name of the locator: "auto" (what is recommended: "staged"), "staged", "lga",
            "verified", "brute-force", "cma", "attribution-patching", "gradient-norm", "middle",
            "random", "fixed:N"; or a locator.
        layers: Layers to choose among: None for all, numbers, or text such as "5-20".
        site: Qualified name of the edit site with "{}" for the layer, if structure does not tell.
        split: "auto" (the proxy facts where any are marked, else all), "proxy", "test" or "all".
            Choosing on test facts makes every later judgement on them too good.
        limit: Use the first so many facts.
        seed: Seed of everything random.
        identity: Which model this is, if it is known better than from the model itself.
        store: File that keeps every finished edit of the methods that edit, so that a run
            that was stopped goes on where it was; None keeps nothing.
        resume: Go on with a store that holds outcomes; it is refused if it is of another model,
            other facts or other settings.
        cache: Keep the old answers that the model writes itself in golden-layers' cache folder, by
            the content of model and prompt, and take those that are there.
        cluster: Workers that do the work; None for this process. The choice is the same.
        say: Called with a line when something is worth knowing, such as how long it will take.
        progress: Called with stage, items done and their total.
        **settings: Settings of the locator; for "lga" see `goldenlayers.LGA`, for "brute-force"
            `goldenlayers.BruteForce`, and so on.

    Returns:
        The ranking.

    Raises:
        SettingsError: If a setting is unknown or out of range.
        FactError: If there are no facts, or two with one id.
        SiteError: If the edit sites cannot be found.
        ModelError: If the model is not causal, its logits are not finite, or the tokenizer is not
            its own.
        LocatorError: If no layer can be chosen.
        ResultError: If the store cannot be used.
        MemoryShortError: If memory does not suffice for the smallest batch.
        ClusterError: If the cluster cannot do the work.

    Example:
        >>> ranking = goldenlayers.find(model, tokenizer, goldenlayers.bundled_facts())
        >>> ranking.golden, ranking.order[:3]
    """
    start = time.perf_counter()
    locator = make_locator(method, **settings) if isinstance(method, str) else method
    chosen = choose_facts(facts, split, limit)
    if seed < 0:
        raise SettingsError(f"seed {seed}: expected 0 or more")
    all_sites = find_sites(model, site)
    sites = choose_layers(all_sites, layers)
    with untouched(model), shortage_told("choosing a layer"):
        require_causal(model, finite=True)
        with engine_of(cluster, model, tokenizer, say) as engine:
            ranking = locator.rank(
                Request(
                    model, tokenizer, chosen, sites, all_sites, seed, progress, say,
                    None if store is None else Path(store), resume, cache, engine=engine,
                )
            )  # fmt: skip
    of_model = (identity or identify(model)).to_dict()
    known = measured(locator, of_model)
    return replace(
        ranking,
        notes=(*ranking.notes, str(known)),
        details={**ranking.details, "measured": known.to_dict()},
        settings=asdict(locator)
        | {
            "seed": seed,
            "split": split,
            "limit": limit,
            "layers": [s.layer for s in sites],
            "site": site,
            "sites": [s.name for s in sites],
        }
        | chat_setting(tokenizer),
        model=of_model,
        facts={
            **chosen.origin(),
            "chosen": len(chosen),
            "bad_records": len(chosen.bad),
            "used": len(ranking.answers),
            "skipped": len(ranking.skipped),
            "old_answers": dict(
                Counter(a.old_source for a in ranking.answers if a.old_source is not None)
            ),
            "splits": dict(Counter(f.split or "none" for f in chosen)),
        },
        versions=versions(),
        seconds={"find": time.perf_counter() - start},
    )


def choose_facts(facts: Sequence[Fact], split: str, limit: int | None) -> FactSet:
    """Return the facts to choose on; see `find`, which calls it."""
    chosen = facts if isinstance(facts, FactSet) else FactSet(tuple(facts))
    twice = [fact_id for fact_id, count in Counter(f.id for f in chosen).items() if count > 1]
    if twice:
        raise FactError(f"{chosen.source}: two facts have the id {twice[0]!r}; ids must be unique")
    chosen = chosen.split(split)
    if limit is not None and limit < 1:
        raise SettingsError(f"limit {limit}: expected 1 or more")
    chosen = chosen[:limit]
    if not len(chosen):
        raise FactError(f"{chosen.source}: no facts to choose on")
    return chosen
