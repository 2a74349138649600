"""Which layers are edited: numbers, those of a ranking, or what LGA finds."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from goldenlayers.errors import SettingsError
from goldenlayers.facts.bundled import bundled_facts
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.locators.window import window_in
from goldenlayers.models.sites import EditSite, choose_layers, find_sites
from goldenlayers.progress import Progress, silent


def resolve_layer(
    model: Any,
    tokenizer: Any,
    layer: int | str | LayerRanking,
    site: str | None,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[EditSite, str]:
    """Return the one edit site that `layer` means; as `resolve_layers`."""
    (found,), by = resolve_layers(model, tokenizer, layer, site, seed, progress)
    return found, by


def resolve_layers(
    model: Any,
    tokenizer: Any,
    layer: int | str | LayerRanking | Sequence[int],
    site: str | None,
    seed: int = 0,
    progress: Progress = silent,
    width: int = 1,
) -> tuple[list[EditSite], str]:
    """Return the edit sites that `layer` means, see `edit`, and a word on who chose them.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        layer: As for `edit`.
        site: As for `edit`.
        seed: Of the search, where LGA is to find the layer.
        progress: As for `edit`.
        width: How many layers a ranking gives, see `goldenlayers.locators.window`.

    Raises:
        SettingsError: If there is no such layer, or the ranking is of another model.
        SiteError: If the edit site cannot be found.
    """
    sites = find_sites(model, site)
    if isinstance(layer, LayerRanking):
        return _ranked(layer, model, sites, width), _by(layer)
    if isinstance(layer, str) and layer == "auto":
        # here and not above: some locators edit, and need the editors
        from goldenlayers.locators.find import find

        ranking = find(
            model, tokenizer, bundled_facts(), method="lga", site=site, seed=seed, progress=progress
        )
        return _ranked(ranking, model, sites, width), _by(ranking)
    named = layer if isinstance(layer, Sequence) and not isinstance(layer, str) else [layer]
    return choose_layers(sites, [_number(n, layer) for n in named]), "given"


def _number(found: Any, layer: Any) -> int:
    try:
        if not isinstance(found, bool | str):
            return operator.index(found)
    except TypeError:
        pass
    raise SettingsError(f"layer {layer!r}: expected a number, several, a ranking or 'auto'")


def _ranked(
    ranking: LayerRanking, model: Any, sites: Sequence[EditSite], width: int
) -> list[EditSite]:
    _require_of(ranking, model, sites)
    return choose_layers(sites, window_in(ranking, width, len(sites)))


def _by(ranking: LayerRanking) -> str:
    facts = ranking.facts if isinstance(ranking.facts, Mapping) else {}
    n = len(ranking.answers)
    if not n:
        return ranking.method  # it looked at no fact
    source = facts.get("source") or "facts of its own"
    return f"{ranking.method} on {n} fact{'' if n == 1 else 's'} of {source}"


def _require_of(ranking: LayerRanking, model: Any, sites: Sequence[EditSite]) -> None:
    """Refuse a ranking that is not of this model."""
    known = {s.layer: s for s in sites}
    settings = ranking.settings if isinstance(ranking.settings, Mapping) else {}
    told = ranking.model if isinstance(ranking.model, Mapping) else {}
    what = f"the ranking is of another model, {told.get('title') or 'one without a name'}"
    advice = "rank the layers of this model (golden-layers find), or name the layer itself"
    parameters, mine = told.get("parameters"), sum(p.numel() for p in model.parameters())
    if parameters and parameters != mine:
        raise SettingsError(f"{what}: it has {parameters} weights, this model has {mine}; {advice}")
    names = settings.get("sites")
    for scored, name in zip(ranking.layers, names if isinstance(names, list) else (), strict=False):
        found = known.get(scored.layer)
        if found is None or found.name != name:
            raise SettingsError(
                f"{what}, or of another edit site: it has {name!r} at layer {scored.layer}, "
                f"expected {found.name if found else 'no such layer'!r}; give the same site to "
                f"both, or {advice}"
            )
    golden = ranking.golden
    if isinstance(golden, bool) or not isinstance(golden, int) or golden not in known:
        raise SettingsError(
            f"{what}: its golden layer is {golden!r}, this model has layers {min(known)} to "
            f"{max(known)}; {advice}"
        )
