"""`SiteEditor`: what the editors share that train a value at edit sites and solve for a weight.

Such an editor finds for a fact what the edit site shall write at the subject's last token (the
value, `goldenlayers.editors.value`) and then, in closed form, the change of the weight that makes
it do so. Facts and sites are trained side by side, so that every fact can be tried at every layer
at little more than the cost of one (`goldenlayers.sweep`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import torch
from torch import Tensor

from goldenlayers.covariance.moment import RIDGE, KeyMoment
from goldenlayers.editors.defaults import published
from goldenlayers.editors.edit import Outcome, Update
from goldenlayers.editors.fact_rows import FactRows, fact_rows
from goldenlayers.editors.fact_value import Beside, FactValue, fact_values
from goldenlayers.editors.numbers import require_number
from goldenlayers.editors.protocol import Edited, EditRequest, Solver
from goldenlayers.editors.rank_one import Solution
from goldenlayers.editors.value import ValueSettings
from goldenlayers.errors import EditError, SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.models.sites import EditSite, text_config
from goldenlayers.models.subject import OCCURRENCES
from goldenlayers.passes.room import Room


@dataclass(frozen=True)
class SiteEditor(ABC):
    """Settings of the value, and all but the closed form.

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
    ridge: float = RIDGE
    occurrence: str = "last"
    prefix_reuse: bool = True

    name: ClassVar[str]
    family: ClassVar[str] = "rome"  # whose published settings of the value are taken

    def __post_init__(self) -> None:
        if self.occurrence not in OCCURRENCES:
            raise SettingsError(f"occurrence {self.occurrence!r}: expected last or first")
        if not isinstance(self.prefix_reuse, bool):
            raise SettingsError(f"prefix_reuse {self.prefix_reuse!r}: expected True or False")
        require_number("ridge", self.ridge)
        require_number("converged_below", self.converged_below, above_zero=True)
        self.value_settings("")  # a wrong number is refused before any work

    @abstractmethod
    def v0(self, request: EditRequest, site: EditSite) -> str:
        """Return which v0 the value is measured by; see `goldenlayers.editors.fact_value`."""

    @abstractmethod
    def factors(
        self, request: EditRequest, site: EditSite, found: FactValue
    ) -> tuple[Tensor, Tensor]:
        """Return the update of one fact at one site: left (d_out,) and right (d_in,).

        Raises:
            EditError: If there is no finite one.
        """

    def beside(self) -> Beside | None:
        """Return what is trained together with the site's delta, where something is."""
        return None

    def solver(self, moment: KeyMoment) -> Solver:
        """Return what the closed form needs of the covariance of a site's keys."""
        return moment.solver(self.ridge)

    def value_settings(self, model_type: str) -> ValueSettings:
        """Return the settings of the value, the published ones where none was given."""
        given = {
            f.name: getattr(self, f.name)
            for f in fields(ValueSettings)
            if getattr(self, f.name) is not None
        }
        return replace(published(model_type, self.family), **given)

    def edit(self, request: EditRequest) -> Edited:
        """Edit the facts; see `goldenlayers.editors.protocol.Editor`."""
        with torch.inference_mode(False):  # a value is trained, whatever the caller is about
            return self._edit(request)

    @abstractmethod
    def _edit(self, request: EditRequest) -> Edited: ...

    def prepare(self, request: EditRequest) -> list[FactRows]:
        """Tokenise all facts of a request.

        All of them are looked at first: a bad one must not be found an hour in.

        Raises:
            FactError: If one cannot be edited.
        """
        with_kl = self.value_settings(model_type(request)).kl_factor > 0
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

    def values(
        self, request: EditRequest, facts: Sequence[FactRows], max_tokens: int | Room | None = None
    ) -> list[list[FactValue | str]]:
        """Train the value of each fact at each site, all side by side.

        Args:
            request: Of which the model, the sites and `on_step` count.
            facts: Rows of the facts, from `prepare`.
            max_tokens: Bound on the tokens of one run, padding counted; None for no bound.

        Returns:
            Per fact, one value per site; or why there is none, told by that fact alone.
        """
        try:
            found = fact_values(
                request.model,
                request.sites,
                facts,
                self.value_settings(model_type(request)),
                value_from=self.v0(request, request.sites[0]),
                prefix_reuse=self.prefix_reuse,
                max_tokens=max_tokens,
                beside=self.beside(),
                on_step=lambda fact, site, step, delta: request.on_step(step, delta),
            )
        except EditError as error:
            if len(facts) == 1:
                return [[str(error)] * len(request.sites)]
            return [self.values(request, [rows], max_tokens)[0] for rows in facts]
        return [[v.value.error or v for v in of_fact] for of_fact in found]

    def solve(
        self, request: EditRequest, facts: Sequence[FactRows], max_tokens: int | Room | None = None
    ) -> list[list[Solution]]:
        """Find the update of each fact at each site, all side by side, into the model as it stands.

        Args:
            request: Of which the model, the sites, the solvers and `on_step` count.
            facts: Rows of the facts, from `prepare`.
            max_tokens: As for `values`.

        Returns:
            Per fact, one solution per site; an error of one of them is told by it alone.
        """
        return [
            [self._solution(request, *pair) for pair in zip(request.sites, values, strict=True)]
            for values in self.values(request, facts, max_tokens)
        ]

    def _solution(self, request: EditRequest, site: EditSite, found: FactValue | str) -> Solution:
        if isinstance(found, str):
            return Solution(None, None, {}, found)
        value, details = found.value, found.details()
        if not value.has_gradient:
            return Solution(None, value, details)
        try:
            left, right = self.factors(request, site, found)
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


def model_type(request: EditRequest) -> str:
    """Return the kind of model, such as "llama", by which published settings are chosen."""
    return str(getattr(text_config(request.model), "model_type", ""))
