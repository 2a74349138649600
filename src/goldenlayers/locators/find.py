"""`find`: choose a layer of a model that is already loaded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.facts.read import FactSet
from goldenlayers.locators.base import Locator, Request
from goldenlayers.locators.lga import LGA
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.models.causal import require_causal
from goldenlayers.models.guard import untouched
from goldenlayers.models.load import ModelIdentity, identify
from goldenlayers.models.sites import choose_layers, find_sites
from goldenlayers.progress import Progress, silent
from goldenlayers.versions import versions

LOCATORS: dict[str, type[Locator]] = {"lga": LGA}


def find(
    model: Any,
    tokenizer: Any,
    facts: Sequence[Fact],
    method: str = "lga",
    *,
    layers: str | Sequence[int] | None = None,
    site: str | None = None,
    split: str = "auto",
    limit: int | None = None,
    seed: int = 0,
    identity: ModelIdentity | None = None,
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
        method: Name of the locator; "lga".
        layers: Layers to choose among: None for all, numbers, or text such as "5-20".
        site: Qualified name of the edit site with "{}" for the layer, if structure does not tell.
        split: "auto" (the proxy facts where any are marked, else all), "proxy", "test" or "all".
            Choosing on test facts makes every later judgement on them too good.
        limit: Use the first so many facts.
        seed: Seed of everything random.
        identity: Which model this is, if it is known better than from the model itself.
        progress: Called with stage, facts done and facts in total.
        **settings: Settings of the locator; for "lga" see `goldenlayers.LGA`.

    Returns:
        The ranking.

    Raises:
        SettingsError: If a setting is unknown or out of range.
        FactError: If there are no facts, or two with one id.
        SiteError: If the edit sites cannot be found.
        ModelError: If the model is not causal, or the tokenizer is not its own.
        LocatorError: If no layer can be chosen.

    Example:
        >>> ranking = goldenlayers.find(model, tokenizer, goldenlayers.bundled_facts())
        >>> ranking.golden, ranking.order[:3]
    """
    start = time.perf_counter()
    locator = make_locator(method, **settings)
    chosen = choose_facts(facts, split, limit)
    if seed < 0:
        raise SettingsError(f"seed {seed}: expected 0 or more")
    sites = choose_layers(find_sites(model, site), layers)
    with untouched(model):
        require_causal(model)
        ranking = locator.rank(Request(model, tokenizer, chosen, sites, seed, progress))
    return replace(
        ranking,
        settings=asdict(locator)
        | {
            "seed": seed,
            "split": split,
            "limit": limit,
            "layers": [s.layer for s in sites],
            "site": site,
            "sites": [s.name for s in sites],
        },
        model=(identity or identify(model)).to_dict(),
        facts={
            "source": chosen.source,
            "sha256": chosen.sha256,
            "chosen": len(chosen),
            "bad_records": len(chosen.bad),
            "used": len(ranking.answers),
            "skipped": len(ranking.skipped),
            "old_answers": dict(Counter(a.old_source for a in ranking.answers)),
            "splits": dict(Counter(f.split or "none" for f in chosen)),
        },
        versions=versions(),
        seconds={"find": time.perf_counter() - start},
    )


def make_locator(method: str, **settings: Any) -> Locator:
    """Return the locator of that name with those settings.

    Raises:
        SettingsError: If the method or a setting is unknown, or a value out of range.
    """
    if method not in LOCATORS:
        raise SettingsError(f"method {method!r} is unknown; expected one of {', '.join(LOCATORS)}")
    known = LOCATORS[method].__dataclass_fields__
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise SettingsError(
            f"method {method!r} has no setting {unknown[0]!r}; it has {', '.join(known)}"
        )
    return LOCATORS[method](**settings)


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
