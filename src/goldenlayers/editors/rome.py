"""ROME and R-ROME: one fact, one layer, one rank-one update.

    W += (v* - o) u^T / (u . k),   u = C^-1 k_mean   (u = k_mean without a covariance)

ROME (arXiv 2202.05262, equation 2 and its code) takes the averaged key for u, but the bare prompt's
key for k and for o, the site's output (bias included). R-ROME (arXiv 2403.07175) takes the averaged
key everywhere; that one difference is what keeps a model whole through many edits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from goldenlayers.editors.edit import Outcome, Update
from goldenlayers.editors.fact_rows import answer_fit
from goldenlayers.editors.fact_value import FactValue
from goldenlayers.editors.factors import side_by_side
from goldenlayers.editors.protocol import Edited, EditRequest
from goldenlayers.editors.rank_one import rank_one
from goldenlayers.editors.site_editor import SiteEditor
from goldenlayers.editors.weights import updates_applied
from goldenlayers.errors import SettingsError
from goldenlayers.models.sites import EditSite

VALUES_FROM = ("prompt", "mean")


@dataclass(frozen=True)
class RROME(SiteEditor):
    """R-ROME: the averaged key in every place. Settings as `SiteEditor`, and one more.

    Attributes:
        value_from: v0 is the site's output for the bare "prompt" (as published, which leaves the
            difference between it and the mean output in the update) or the "mean" output.
    """

    value_from: str = "prompt"

    name: ClassVar[str] = "r-rome"
    # a batch is the same as its facts one after another
    one_by_one: ClassVar[bool] = True
    # which key stands in o and in u . k
    averaged: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.value_from not in VALUES_FROM:
            raise SettingsError(f"value_from {self.value_from!r}: expected prompt or mean")
        super().__post_init__()

    def v0(self, request: EditRequest, site: EditSite) -> str:
        """Return what the setting says."""
        return self.value_from

    def factors(
        self, request: EditRequest, site: EditSite, found: FactValue
    ) -> tuple[Tensor, Tensor]:
        """Return the rank-one update; see the module."""
        v_star = found.v0 + found.value.delta
        solver = request.solvers.get(site.layer)
        return rank_one(found.keys, found.outputs, v_star, solver, averaged=self.averaged)

    def _edit(self, request: EditRequest) -> Edited:
        if len(request.sites) != 1:
            raise SettingsError(
                f"{self.name} edits one layer, {len(request.sites)} were given; choose one layer"
            )
        site = request.sites[0]
        prepared = self.prepare(request)
        updates: tuple[Update, ...] = ()
        outcomes: list[Outcome] = []
        for fact, rows in zip(request.facts, prepared, strict=True):
            with updates_applied(request.model, updates):
                before, _ = answer_fit(request.model, rows)
                ((solution,),) = self.solve(request, [rows])
            if solution.update is not None:
                updates = side_by_side(updates, (solution.update,))
            with updates_applied(request.model, updates):
                after, rewritten = answer_fit(request.model, rows)
            outcomes.append(self.outcome(fact, site, solution, before, after, rewritten))
            request.progress("facts", len(outcomes), len(prepared))
        return Edited(updates, tuple(outcomes))


@dataclass(frozen=True)
class ROME(RROME):
    """ROME: the averaged key in u, the bare prompt's key in o and in u . k; settings as R-ROME."""

    name: ClassVar[str] = "rome"
    averaged: ClassVar[bool] = False
