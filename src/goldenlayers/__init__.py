"""Which layer of a language model to edit, the edit there, and the proof that it worked.

>>> import goldenlayers as gl
>>> loaded = gl.load_model("bundled")
>>> ranking = gl.find(loaded.model, loaded.tokenizer, gl.bundled_facts())
>>> ranking.golden

Names are imported when they are used, so that `golden-layers --help` need not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from goldenlayers._version import __version__

if TYPE_CHECKING:
    from goldenlayers.errors import (
        FactError,
        GoldenLayersError,
        LocatorError,
        ModelError,
        ResultError,
        SettingsError,
        SiteError,
    )
    from goldenlayers.facts import (
        Fact,
        FactSet,
        LocalityProbe,
        PortabilityProbe,
        bundled_facts,
        read_facts,
    )
    from goldenlayers.locators.find import find
    from goldenlayers.locators.lga import LGA
    from goldenlayers.locators.ranking import LayerRanking, LayerScore
    from goldenlayers.models.load import LoadedModel, load_model
    from goldenlayers.models.sites import EditSite, find_sites

_WHERE = {
    "FactError": "goldenlayers.errors",
    "GoldenLayersError": "goldenlayers.errors",
    "LocatorError": "goldenlayers.errors",
    "ModelError": "goldenlayers.errors",
    "ResultError": "goldenlayers.errors",
    "SettingsError": "goldenlayers.errors",
    "SiteError": "goldenlayers.errors",
    "Fact": "goldenlayers.facts",
    "FactSet": "goldenlayers.facts",
    "LocalityProbe": "goldenlayers.facts",
    "PortabilityProbe": "goldenlayers.facts",
    "bundled_facts": "goldenlayers.facts",
    "read_facts": "goldenlayers.facts",
    "find": "goldenlayers.locators.find",
    "LGA": "goldenlayers.locators.lga",
    "LayerRanking": "goldenlayers.locators.ranking",
    "LayerScore": "goldenlayers.locators.ranking",
    "LoadedModel": "goldenlayers.models.load",
    "load_model": "goldenlayers.models.load",
    "EditSite": "goldenlayers.models.sites",
    "find_sites": "goldenlayers.models.sites",
}

__all__ = [
    "LGA",
    "EditSite",
    "Fact",
    "FactError",
    "FactSet",
    "GoldenLayersError",
    "LayerRanking",
    "LayerScore",
    "LoadedModel",
    "LocalityProbe",
    "LocatorError",
    "ModelError",
    "PortabilityProbe",
    "ResultError",
    "SettingsError",
    "SiteError",
    "__version__",
    "bundled_facts",
    "find",
    "find_sites",
    "load_model",
    "read_facts",
]


def __getattr__(name: str) -> object:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'goldenlayers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
