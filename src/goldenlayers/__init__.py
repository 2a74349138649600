"""Which layer of a language model to edit, the edit there, and the proof that it worked.

>>> import goldenlayers as gl
>>> loaded = gl.load_model("bundled")
>>> ranking = gl.find(loaded.model, loaded.tokenizer, gl.bundled_facts())
>>> edit = gl.edit(loaded.model, loaded.tokenizer, gl.bundled_facts()[0], layer=ranking)
>>> with edit.applied(loaded.model):
...     gl.evaluate(loaded.model, loaded.tokenizer, gl.bundled_facts()[:1])

Names are imported when they are used, so that `golden-layers --help` need not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from goldenlayers._version import __version__

if TYPE_CHECKING:
    from goldenlayers.cluster.settings import Cluster
    from goldenlayers.covariance.compute import key_covariance
    from goldenlayers.covariance.covariances import Covariances
    from goldenlayers.editors.edit import Edit
    from goldenlayers.editors.rome import ROME, RROME
    from goldenlayers.editors.run import edit
    from goldenlayers.editors.templates import Templates, make_templates
    from goldenlayers.errors import (
        ClusterError,
        EditError,
        FactError,
        GoldenLayersError,
        LocatorError,
        MemoryShortError,
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
    from goldenlayers.locators.attribution_patching import AttributionPatching
    from goldenlayers.locators.brute_force import BruteForce
    from goldenlayers.locators.cma import CMA
    from goldenlayers.locators.find import find
    from goldenlayers.locators.gradient_norm import GradientNorm
    from goldenlayers.locators.lga import LGA
    from goldenlayers.locators.ranking import LayerRanking, LayerScore
    from goldenlayers.locators.staged import Staged
    from goldenlayers.locators.verified import Verified
    from goldenlayers.metrics.baseline import Baseline, baseline
    from goldenlayers.metrics.evaluate import evaluate
    from goldenlayers.metrics.evaluation import Evaluation
    from goldenlayers.metrics.perplexity import perplexity
    from goldenlayers.models.chat import chat_tokenizer
    from goldenlayers.models.load import LoadedModel, load_model
    from goldenlayers.models.sites import EditSite, find_sites
    from goldenlayers.study.compare import compare
    from goldenlayers.study.comparison import Comparison
    from goldenlayers.study.each import edit_each
    from goldenlayers.study.sequence import edit_sequence
    from goldenlayers.study.transfer import transfer

_WHERE = {
    "Cluster": "goldenlayers.cluster.settings",
    "ClusterError": "goldenlayers.errors",
    "key_covariance": "goldenlayers.covariance.compute",
    "Covariances": "goldenlayers.covariance.covariances",
    "Edit": "goldenlayers.editors.edit",
    "ROME": "goldenlayers.editors.rome",
    "RROME": "goldenlayers.editors.rome",
    "edit": "goldenlayers.editors.run",
    "Templates": "goldenlayers.editors.templates",
    "make_templates": "goldenlayers.editors.templates",
    "EditError": "goldenlayers.errors",
    "FactError": "goldenlayers.errors",
    "GoldenLayersError": "goldenlayers.errors",
    "LocatorError": "goldenlayers.errors",
    "MemoryShortError": "goldenlayers.errors",
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
    "AttributionPatching": "goldenlayers.locators.attribution_patching",
    "BruteForce": "goldenlayers.locators.brute_force",
    "CMA": "goldenlayers.locators.cma",
    "GradientNorm": "goldenlayers.locators.gradient_norm",
    "Staged": "goldenlayers.locators.staged",
    "Verified": "goldenlayers.locators.verified",
    "compare": "goldenlayers.study.compare",
    "Comparison": "goldenlayers.study.comparison",
    "find": "goldenlayers.locators.find",
    "LGA": "goldenlayers.locators.lga",
    "LayerRanking": "goldenlayers.locators.ranking",
    "LayerScore": "goldenlayers.locators.ranking",
    "Baseline": "goldenlayers.metrics.baseline",
    "baseline": "goldenlayers.metrics.baseline",
    "evaluate": "goldenlayers.metrics.evaluate",
    "perplexity": "goldenlayers.metrics.perplexity",
    "Evaluation": "goldenlayers.metrics.evaluation",
    "chat_tokenizer": "goldenlayers.models.chat",
    "LoadedModel": "goldenlayers.models.load",
    "load_model": "goldenlayers.models.load",
    "EditSite": "goldenlayers.models.sites",
    "find_sites": "goldenlayers.models.sites",
    "edit_each": "goldenlayers.study.each",
    "edit_sequence": "goldenlayers.study.sequence",
    "transfer": "goldenlayers.study.transfer",
}

__all__ = [
    "CMA",
    "LGA",
    "ROME",
    "RROME",
    "AttributionPatching",
    "Baseline",
    "BruteForce",
    "Cluster",
    "ClusterError",
    "Comparison",
    "Covariances",
    "Edit",
    "EditError",
    "EditSite",
    "Evaluation",
    "Fact",
    "FactError",
    "FactSet",
    "GoldenLayersError",
    "GradientNorm",
    "LayerRanking",
    "LayerScore",
    "LoadedModel",
    "LocalityProbe",
    "LocatorError",
    "MemoryShortError",
    "ModelError",
    "PortabilityProbe",
    "ResultError",
    "SettingsError",
    "SiteError",
    "Staged",
    "Templates",
    "Verified",
    "__version__",
    "baseline",
    "bundled_facts",
    "chat_tokenizer",
    "compare",
    "edit",
    "edit_each",
    "edit_sequence",
    "evaluate",
    "find",
    "find_sites",
    "key_covariance",
    "load_model",
    "make_templates",
    "perplexity",
    "read_facts",
    "transfer",
]


def __getattr__(name: str) -> object:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'goldenlayers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
