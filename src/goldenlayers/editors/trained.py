"""`TrainedEditor`: what the editors share that train the weight of one edit site by gradient.

All facts of a request are trained into the weight together: a step goes over all of them, in their
order, in batches of `batch_size`, and makes one update of Adam per batch. As published (the FT of
ROME, arXiv 2202.05262, and of EasyEdit, arXiv 2401.01286, whose code this follows), a batch whose
loss is under `stop_loss` makes no update, and training ends after a step whose mean loss is under
it. Only bare prompts are trained on, and nothing holds the rest of the model's knowledge in place.

A loss is noted before the update that it leads to; how the fact stands with the finished edit is
measured afterwards, in the model as `Edit.apply` leaves it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from goldenlayers.editors.edit import Outcome, Update
from goldenlayers.editors.fact_batch import FactBatch
from goldenlayers.editors.fact_rows import answer_fit, fact_rows
from goldenlayers.editors.numbers import MOST_LR, require_number, require_whole
from goldenlayers.editors.outcome import Step
from goldenlayers.editors.protocol import Edited, EditRequest
from goldenlayers.editors.weights import updates_applied, weight_of
from goldenlayers.errors import EditError, SettingsError
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.growing import Change


@dataclass
class Training:
    """How the training of one weight went.

    Attributes:
        losses: Per step, the loss of each fact, nats.
        norms: Per step, |dW| before the step.
        updates: How many updates Adam made.
        stopped: Whether the loss fell under `stop_loss`.
    """

    losses: list[list[float]] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    updates: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class TrainedEditor(ABC):
    """Settings of the training.

    Attributes:
        lr: Learning rate of Adam.
        steps: How often all facts are gone over, at most.
        stop_loss: A batch whose loss is under this makes no update; the training is done when the
            mean loss of all facts is. Nats.
        weight_decay: As `torch.optim.Adam` has it: this times what is trained is added to the
            gradient.
        batch_size: Facts per update; 1 is published.
        converged_below: The edit has converged when the new answer's mean negative log-likelihood
            with it is under this, nats per token; ln 2 means that its tokens have more than even
            odds.
        skip_below: Whether what lies below the edited layer is computed once; the result is the
            same without, only slower.
    """

    lr: float = 5e-4
    steps: int = 25
    stop_loss: float = 1e-2
    weight_decay: float = 0.0
    batch_size: int = 1
    converged_below: float = 0.6931
    skip_below: bool = True

    name: ClassVar[str]
    # whether all answer tokens are read at the prompt's last position
    prompt_end: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_whole("steps", self.steps)
        require_whole("batch_size", self.batch_size)
        require_number("lr", self.lr, above_zero=True, most=MOST_LR)
        require_number("converged_below", self.converged_below, above_zero=True)
        for name in ("stop_loss", "weight_decay"):
            require_number(name, getattr(self, name))
        if not isinstance(self.skip_below, bool):
            raise SettingsError(f"skip_below {self.skip_below!r}: expected True or False")

    @abstractmethod
    def train(
        self, request: EditRequest, site: EditSite, batches: Sequence[FactBatch]
    ) -> tuple[Tensor, Tensor, Training]:
        """Train the site on the batches, by `fit`; the model is as it was on leaving.

        Returns:
            The factors of dW, (d_out, r) and (d_in, r), and how it went.
        """

    def edit(self, request: EditRequest) -> Edited:
        """Edit the facts; see `goldenlayers.editors.protocol.Editor`.

        Raises:
            SettingsError: If not one layer is given.
            EditError: If a loss or the trained weight is not finite.
        """
        if len(request.sites) != 1:
            raise SettingsError(
                f"{self.name} edits one layer, {len(request.sites)} were given; choose one layer"
            )
        # a weight is trained, whatever the caller is about
        with torch.inference_mode(False), torch.enable_grad():
            return self._edit(request, request.sites[0])

    def fit(
        self,
        parameters: Sequence[Tensor],
        batches: Sequence[FactBatch],
        request: EditRequest,
        *,
        norm: Callable[[], float],
        change: Change | None = None,
        after_update: Callable[[], None] = lambda: None,
    ) -> Training:
        """Train.

        Args:
            parameters: What is trained, leaves that require a gradient.
            batches: The facts.
            request: Whose progress is told.
            norm: Returns |dW|.
            change: What becomes of the site's output.
            after_update: Called after each update of Adam, without gradients.

        Raises:
            EditError: If a loss is not finite.
        """
        adam = torch.optim.Adam(parameters, lr=self.lr, weight_decay=self.weight_decay)
        went = Training()
        for step in range(self.steps):
            went.norms.append(norm())
            seen: list[float] = []
            for batch in batches:
                losses = batch.losses(change)  # (n,)
                loss = losses.mean()
                if not torch.isfinite(loss):
                    raise EditError(
                        f"the loss is {float(loss.detach())} at step {step}: the model gives "
                        f"numbers that are not finite in {request.model.dtype}; try a lower lr, "
                        "or load it in a wider dtype"
                    )
                seen += losses.detach().tolist()
                if float(loss.detach()) >= self.stop_loss:
                    # not backward(): it would write .grad of whatever else requires one
                    gradients = torch.autograd.grad(loss, list(parameters))
                    for parameter, gradient in zip(parameters, gradients, strict=True):
                        parameter.grad = gradient
                    adam.step()
                    went.updates += 1
                    with torch.no_grad():
                        after_update()
            went.losses.append(seen)
            went.stopped = sum(seen) / len(seen) < self.stop_loss
            request.progress("steps", self.steps if went.stopped else step + 1, self.steps)
            if went.stopped:
                break
        went.norms.append(norm())
        return went

    def _edit(self, request: EditRequest, site: EditSite) -> Edited:
        model = request.model
        weight_of(model, site.name)  # refuses a weight that cannot be edited
        # All of them are looked at first: a bad one must not be found an hour in.
        rows = [
            fact_rows(model, request.tokenizer, fact, [""], with_kl=False) for fact in request.facts
        ]
        before = []
        for n, row in enumerate(rows):
            before.append(answer_fit(model, row)[0])
            request.progress("answers before", n + 1, len(rows))
        batches = [
            FactBatch(
                model,
                site,
                rows[n : n + self.batch_size],
                prompt_end=self.prompt_end,
                skip_below=self.skip_below,
            )
            for n in range(0, len(rows), self.batch_size)
        ]
        left, right, went = self.train(request, site, batches)
        if not (torch.isfinite(left).all() and torch.isfinite(right).all()):
            raise EditError("the trained weight is not finite; try a lower lr")
        updates: tuple[Update, ...] = ()
        if went.norms[-1] > 0:
            factors = left.detach().contiguous().cpu(), right.detach().contiguous().cpu()
            updates = (Update(site.layer, site.name, site.transposed, *factors),)
        outcomes = []
        with updates_applied(model, updates):
            for n, row in enumerate(rows):
                fit = answer_fit(model, row)
                computed = batches[n // self.batch_size].computed
                outcomes.append(self._outcome(request, n, went, before[n], *fit, computed))
                request.progress("answers after", n + 1, len(rows))
        return Edited(updates, tuple(outcomes))

    def _outcome(
        self,
        request: EditRequest,
        number: int,
        went: Training,
        before: float,
        after: float,
        rewritten: bool,
        computed: str,
    ) -> Outcome:
        losses = [losses[number] for losses in went.losses]
        steps = f"{len(losses)} step{'s' * (len(losses) != 1)}"
        status = "not converged"
        if not after < self.converged_below:
            reason = (
                f"after {steps} the new answer still costs {after:.2f} nats a token "
                f"(converged means under {self.converged_below:.2f})"
            )
        elif not rewritten:
            reason = (
                f"after {steps} the new answer costs {after:.2f} nats a token, but not each of its "
                "tokens is the most likely one"
            )
        else:
            status = "converged"
            how = "loss below the stop" if went.stopped else "all steps"
            reason = f"{after:.3f} nats a token after {steps} ({how})"
        return Outcome(
            fact=request.facts[number],
            layers=(request.sites[0].layer,) if went.norms[-1] > 0 else (),
            status=status,
            reason=reason,
            nll_before=before,
            nll_after=after,
            rewritten=rewritten,
            # the fact's own loss; that of all facts is their mean
            steps=tuple(
                Step(loss, loss, 0.0, 0.0, norm)
                for loss, norm in zip(losses, went.norms[:-1], strict=True)
            ),
            details={
                "update_norm": went.norms[-1],
                "loss": losses[-1],
                "steps": len(losses),
                "updates": went.updates,
                "trained_together": len(request.facts),
                "computed": computed,
            },
        )
