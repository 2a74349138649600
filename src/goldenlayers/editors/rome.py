"""ROME and R-ROME: one fact, one layer, one rank-one update.

    W += (v* - o) u^T / (u . k),   u = C^-1 k_mean   (u = k_mean without a covariance)

ROME (arXiv 2202.05262, equation 2 and its code) takes the averaged key for u, but the bare prompt's
key for k and for o, the site's output (bias included). R-ROME (arXiv 2403.07175) takes the averaged
key everywhere; that one difference is what keeps a model whole through many edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import torch

from goldenlayers.covariance.moment import RIDGE
from goldenlayers.editors.defaults import published
from goldenlayers.editors.edit import Outcome, Update
from goldenlayers.editors.fact_rows import FactRows, answer_fit, fact_rows
from goldenlayers.editors.fact_value import VALUES_FROM, FactValue, fact_values
from goldenlayers.editors.factors import side_by_side
from goldenlayers.editors.protocol import Edited, EditRequest
from goldenlayers.editors.rank_one import Solution, rank_one
from goldenlayers.editors.value import ValueSettings, require_number
from goldenlayers.editors.weights import updates_applied
from goldenlayers.errors import EditError, SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.models.sites import EditSite, text_config
from goldenlayers.models.subject import OCCURRENCES


@dataclass(frozen=True)
class RROME:
    """R-ROME: the averaged key in every place.

    None means the published setting for the kind of model (`goldenlayers.editors.defaults`).

    Attributes:
        lr: Learning rate of the value.
        steps: Evaluations of the value's loss; at most steps - 1 updates.
        weight_decay: Weight of |delta| / |v0|^2.
        clamp: Bound on |delta|, in norms of v0.
        kl_factor: Weight of the KL term.
        stop_loss: The value is done when its loss is under this, nats.
        converged_below: The value has converged when the new answer's mean negative log-likelihood
            is under this, nats per token; ln 2 means that its tokens have more than even odds.
        value_from: v0 is the site's output for the bare "prompt" (as published, which leaves the
            difference between it and the mean output in the update) or the "mean" output.
        ridge: Share of the mean of the covariance's diagonal that is added to it; no matter where
            no covariance is used.
        occurrence: Which occurrence of the subject counts, "last" or "first"; whole words come
            before letters inside a longer word ("Ann" in "Ann met Anna").
        prefix_reuse: Whether what stands before the subject's last token is computed once; the
            result is the same without, only slower.
    """

    lr: float | None = None
    steps: int | None = None
    weight_decay: float | None = None
    clamp: float | None = None
    kl_factor: float | None = None
    stop_loss: float = 0.05
    converged_below: float = 0.6931
    value_from: str = "prompt"
    ridge: float = RIDGE
    occurrence: str = "last"
    prefix_reuse: bool = True

    name: ClassVar[str] = "r-rome"
    # which key stands in o and in u . k
    averaged: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.value_from not in VALUES_FROM:
            raise SettingsError(f"value_from {self.value_from!r}: expected prompt or mean")
        if self.occurrence not in OCCURRENCES:
            raise SettingsError(f"occurrence {self.occurrence!r}: expected last or first")
        if not isinstance(self.prefix_reuse, bool):
            raise SettingsError(f"prefix_reuse {self.prefix_reuse!r}: expected True or False")
        require_number("ridge", self.ridge)
        require_number("converged_below", self.converged_below, above_zero=True)
        self.value_settings("")  # a wrong number is refused before any work

    def value_settings(self, model_type: str) -> ValueSettings:
        """Return the settings of the value, the published ones where none was given."""
        given = {
            f.name: getattr(self, f.name)
            for f in fields(ValueSettings)
            if getattr(self, f.name) is not None
        }
        return replace(published(model_type), **given)

    def edit(self, request: EditRequest) -> Edited:
        """Edit the facts one after another; see `goldenlayers.editors.protocol.Editor`."""
        with torch.inference_mode(False):  # a value is trained, whatever the caller is about
            return self._edit(request)

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

    def prepare(self, request: EditRequest) -> list[FactRows]:
        """Tokenise all facts of a request.

        All of them are looked at first: a bad one must not be found an hour in.

        Raises:
            FactError: If one cannot be edited.
        """
        with_kl = self.value_settings(_model_type(request)).kl_factor > 0
        return [
            fact_rows(
                request.model,
                request.tokenizer,
                fact,
                request.templates.prefixes,
                occurrence=self.occurrence,
                with_kl=with_kl,
            )
            for fact in request.facts
        ]

    def solve(
        self, request: EditRequest, facts: Sequence[FactRows], max_tokens: int | None = None
    ) -> list[list[Solution]]:
        """Find the update of each fact at each site, all side by side, into the model as it stands.

        Args:
            request: Of which the model, the sites, the solvers and `on_step` count.
            facts: Rows of the facts, from `prepare`.
            max_tokens: Bound on the tokens of one run, padding counted; None for no bound.

        Returns:
            Per fact, one solution per site; an error of one of them is told by it alone.
        """
        try:
            found = fact_values(
                request.model,
                request.sites,
                facts,
                self.value_settings(_model_type(request)),
                value_from=self.value_from,
                prefix_reuse=self.prefix_reuse,
                max_tokens=max_tokens,
                on_step=lambda fact, site, step, delta: request.on_step(step, delta),
            )
        except EditError as error:
            if len(facts) == 1:
                return [[Solution(None, None, {}, str(error)) for _ in request.sites]]
            return [self.solve(request, [rows], max_tokens)[0] for rows in facts]
        return [
            [self._solution(request, *pair) for pair in zip(request.sites, values, strict=True)]
            for values in found
        ]

    def _solution(self, request: EditRequest, site: EditSite, found: FactValue) -> Solution:
        value, details = found.value, found.details()
        if value.error:
            return Solution(None, None, {}, value.error)
        if not value.has_gradient:
            return Solution(None, value, details)
        try:
            left, right = rank_one(
                found.keys,
                found.outputs,
                found.v0 + value.delta,
                request.solvers.get(site.layer),
                averaged=self.averaged,
            )
        except EditError as error:  # of this fact at this site; the others go on
            return Solution(None, None, {}, str(error))
        details["update_norm"] = float(left.norm() * right.norm())
        factors = left[:, None].cpu(), right[:, None].cpu()  # (d_out, 1), (d_in, 1)
        update = Update(site.layer, site.name, site.transposed, *factors)
        return Solution(update, value, details)

    def outcome(
        self,
        fact: Fact,
        site: EditSite,
        solution: Solution,
        before: float,
        after: float,
        rewritten: bool,
    ) -> Outcome:
        """Return what became of a fact.

        Args:
            fact: The fact.
            site: Where it was edited.
            solution: What was found.
            before: Mean negative log-likelihood of the new answer after the bare prompt, nats per
                token, before the edit.
            after: The same with the edited weight.
            rewritten: Whether each of its tokens is then the most likely one.
        """
        status, reason = self._verdict(site, solution, after, rewritten)
        return Outcome(
            fact=fact,
            layers=(site.layer,) if solution.update is not None else (),
            status=status,
            reason=reason,
            nll_before=before,
            nll_after=after,
            rewritten=rewritten,
            steps=() if solution.value is None else solution.value.steps,
            details=solution.details,
        )

    def _verdict(
        self, site: EditSite, solution: Solution, after: float, rewritten: bool
    ) -> tuple[str, str]:
        """Return status and reason."""
        value = solution.value
        if value is None:
            return "not converged", solution.error
        nll, n = value.nll, len(value.steps)
        steps = f"{n} step{'s' * (n != 1)}"
        if not value.reached:
            return "unreached", (
                f"layer {site.layer} cannot carry the edit: no position that predicts the answer "
                f"reads its output at the subject's last token; the loss stays at {nll:.2f} nats"
            )
        if not value.has_gradient:
            return "not converged", (
                f"the loss ({nll:.2f} nats) has no gradient at layer {site.layer}: it is lost in "
                "rounding, as in a broken model or in half precision"
            )
        if not nll < self.converged_below:
            return "not converged", (
                f"after {steps} the new answer still costs {nll:.2f} nats a token "
                f"(converged means under {self.converged_below:.2f})"
            )
        if not rewritten:
            return "not converged", (
                f"the value converged ({nll:.2f} nats), but the edited weight does not make the "
                f"bare prompt say the new answer ({after:.2f} nats a token)"
            )
        how = "loss below the stop" if value.steps[-1].loss < self.stop_loss else "all steps"
        return "converged", f"{nll:.3f} nats a token after {steps} ({how})"


@dataclass(frozen=True)
class ROME(RROME):
    """ROME: the averaged key in u, the bare prompt's key in o and in u . k; settings as R-ROME."""

    name: ClassVar[str] = "rome"
    averaged: ClassVar[bool] = False


def _model_type(request: EditRequest) -> str:
    return str(getattr(text_config(request.model), "model_type", ""))
