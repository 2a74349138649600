"""`BatchEditor`: many facts at once, over one layer or a window of layers.

    dW_l = R_l X_l^T,    R_l = (z - h) / (layers that are left)

MEMIT (arXiv 2210.07229, section 4) and what followed it. z is what the residual stream behind the
window's last layer shall be at the subject's last token, one column per fact; it is trained as
ROME's value is. The layers are edited from the shallowest up: at each the keys K_l and the stream h
are computed anew with what was changed below, and the layer takes its share of what is still
missing. X_l, (d_in, n), is each editor's own: it says how the keys K_l, (d_in, n), are answered
without disturbing others.

Facts of one subject have nearly the same key, and a batch that asks one key for several values
gives it their mean (MEMIT-Merge, arXiv 2502.07322). So they share one value, which is trained on
the prompts of all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from goldenlayers.editors.edit import Outcome, Update
from goldenlayers.editors.fact_rows import FactRows, answer_fit, merged
from goldenlayers.editors.fact_runs import longest_tail, over_runs
from goldenlayers.editors.fact_value import FactValue
from goldenlayers.editors.factors import side_by_side
from goldenlayers.editors.numbers import require_whole
from goldenlayers.editors.protocol import Edited, EditRequest
from goldenlayers.editors.rank_one import Solution
from goldenlayers.editors.site_editor import SiteEditor
from goldenlayers.editors.subjects import subjects
from goldenlayers.editors.weights import updates_applied
from goldenlayers.errors import EditError, SettingsError
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.stream import adds_to_stream

MERGE, APART = "merge", "apart"


@dataclass(frozen=True)
class BatchEditor(SiteEditor):
    """Settings as `SiteEditor`, and more.

    Attributes:
        same_subject: Facts of one subject "merge" into one value, or stay "apart", as published.
        window: How many layers are edited where a ranking chooses them.
    """

    same_subject: str = MERGE
    window: int = 1

    takes_window: ClassVar[bool] = True
    needs_covariance: ClassVar[bool] = True
    keeps_keys: ClassVar[bool] = False  # whether later edits must know its keys (AlphaEdit)
    on_stream: ClassVar[bool] = True  # count what is missing in the stream, or at the site (PMET)
    power: ClassVar[float] = 1.0  # a layer takes missing / (layers that are left) ** power

    def __post_init__(self) -> None:
        if self.same_subject not in (MERGE, APART):
            raise SettingsError(f"same_subject {self.same_subject!r}: expected merge or apart")
        require_whole("window", self.window)
        super().__post_init__()

    @abstractmethod
    def right(self, request: EditRequest, site: EditSite, keys: Tensor) -> Tensor:
        """Return X, (d_in, n) float64, for keys (d_in, n) of a site.

        Raises:
            EditError: If the system cannot be solved.
        """

    def v0(self, request: EditRequest, site: EditSite) -> str:
        """Measure the value by the stream, or by the site where a norm parts the two."""
        return "stream" if adds_to_stream(request.model, site) else "prompt"

    def factors(
        self, request: EditRequest, site: EditSite, found: FactValue
    ) -> tuple[Tensor, Tensor]:
        """Return the update of one fact alone at one layer."""
        self.require(request)
        delta = found.value.delta
        right = self.right(request, site, found.keys.mean(0)[:, None])[:, 0]
        return delta, right.to(delta)

    def require(self, request: EditRequest) -> None:
        """Refuse a request without what the closed form needs.

        Raises:
            SettingsError: If a layer's covariance is missing.
        """
        missing = [s.layer for s in request.sites if s.layer not in request.solvers]
        if self.needs_covariance and missing:
            raise SettingsError(
                f"{self.name} needs the covariance of the keys, and there is none of layer "
                f"{missing[0]}"
            )

    def _edit(self, request: EditRequest) -> Edited:
        self.require(request)
        sites = request.sites
        if len(sites) > 1 and not self.takes_window:
            raise SettingsError(
                f"{self.name} edits one layer, {len(sites)} were given; choose one layer, or memit "
                "for a window"
            )
        if len(sites) > 1 and not adds_to_stream(request.model, sites[-1]):
            raise SettingsError(
                f"{self.name}: in this model a norm stands between the edit site and the residual "
                "stream, so that what one layer writes is not what a later one lacks; give one "
                "layer instead of a window"
            )
        prepared = self.prepare(request)
        units = self._units(request)
        rows = [merged([prepared[i] for i in unit]) for unit in units]
        before = []
        for n, of_fact in enumerate(prepared):
            before.append(answer_fit(request.model, of_fact)[0])
            request.progress("answers before", n + 1, len(prepared))
        solutions = self._values(request, rows)
        good = [n for n, found in enumerate(solutions) if isinstance(found, FactValue)]
        updates = self.spread(
            request, [rows[n] for n in good], [f for f in solutions if isinstance(f, FactValue)]
        )
        outcomes: dict[int, Outcome] = {}
        with updates_applied(request.model, updates):
            for unit, found in zip(units, solutions, strict=True):
                for i in unit:
                    outcomes[i] = self._outcome(request, unit, i, found, updates, before[i],
                                                prepared[i])  # fmt: skip
                    request.progress("answers after", len(outcomes), len(prepared))
        return Edited(updates, tuple(outcomes[i] for i in range(len(prepared))))

    def _units(self, request: EditRequest) -> list[tuple[int, ...]]:
        """Return the numbers of the facts that share a value, in the order of their first."""
        if self.same_subject == APART:
            return [(i,) for i in range(len(request.facts))]
        units: dict[str, list[int]] = {}
        for i, fact in enumerate(request.facts):
            units.setdefault(fact.subject.strip(), []).append(i)
        return [tuple(unit) for unit in units.values()]

    def _values(self, request: EditRequest, rows: Sequence[FactRows]) -> list[FactValue | Solution]:
        """Train the values behind the last layer, many side by side."""
        at_last = replace(request, sites=request.sites[-1:])
        found: dict[int, FactValue | Solution] = {}

        def train(run: list[int]) -> list[list[FactValue | str]]:
            return self.values(at_last, [rows[i] for i in run])

        for run, trained in over_runs(request.model, rows, longest_tail, train):
            for i, (one,) in zip(run, trained, strict=True):
                if isinstance(one, str):
                    found[i] = Solution(None, None, {}, one)
                elif one.value.has_gradient:
                    found[i] = one
                else:
                    found[i] = Solution(None, one.value, one.details())
            request.progress("values", len(found), len(rows))
        return [found[i] for i in range(len(rows))]

    def spread(
        self, request: EditRequest, rows: Sequence[FactRows], values: Sequence[FactValue]
    ) -> tuple[Update, ...]:
        """Spread values, trained behind the last of the request's sites, over all of them.

        Args:
            request: Of which the model, the sites and the solvers count.
            rows: Rows of the facts.
            values: One of each.

        Returns:
            One update per site, of as many ranks as there are facts; none without facts.

        Raises:
            EditError: If there is no finite one.
        """
        updates: tuple[Update, ...] = ()
        if not rows:
            return updates
        sites, last = request.sites, request.sites[-1]
        deltas = torch.stack([found.value.delta for found in values])  # (n, d_out)
        wanted: Tensor | None = None
        for i, site in enumerate(sites):
            request.progress("layers", i, len(sites))
            with updates_applied(request.model, updates):
                keys, now = subjects(request.model, site, last, rows, self.on_stream)
            wanted = now + deltas if wanted is None else wanted  # (n, d_out)
            missing = deltas if i == 0 else wanted - now  # (n, d_out), the first unrounded
            right = self.right(request, site, keys.T.double())  # (d_in, n)
            left = (missing / (len(sites) - i) ** self.power).T  # (d_out, n)
            if not (torch.isfinite(left).all() and torch.isfinite(right).all()):
                raise EditError(f"the update of layer {site.layer} is not finite; try a lower lr")
            factors = left.contiguous().cpu(), right.to(left).contiguous().cpu()
            kept = keys.T.to(left).contiguous().cpu() if self.keeps_keys else None
            made = Update(site.layer, site.name, site.transposed, *factors, kept)
            updates = side_by_side(updates, (made,))
        request.progress("layers", len(sites), len(sites))
        return updates

    def _outcome(
        self,
        request: EditRequest,
        unit: Sequence[int],
        number: int,
        found: FactValue | Solution,
        updates: tuple[Update, ...],
        before: float,
        rows: FactRows,
    ) -> Outcome:
        after, rewritten = answer_fit(request.model, rows)
        if isinstance(found, FactValue):
            details = found.details() | self.told(request)
            others = [request.facts[i].id for i in unit if i != number]
            if others:
                details["value_shared_with"] = others
            found = Solution(updates[-1], found.value, details)
        last = request.sites[-1]
        outcome = self.outcome(request.facts[number], last, found, before, after, rewritten)
        layers = tuple(u.layer for u in updates) if outcome.layers else ()
        return replace(outcome, layers=layers)

    def told(self, request: EditRequest) -> dict[str, object]:
        """Return what else an outcome tells, ready for JSON."""
        return {}
