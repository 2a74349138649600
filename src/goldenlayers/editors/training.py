"""Values trained side by side: each step is one run of many of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from goldenlayers.editors.edit import Step
from goldenlayers.editors.value import (
    Targets,
    Value,
    ValueSettings,
    Wanted,
    require_same,
)

# Called after each evaluation of a loss with the number of the value among those trained together,
# the step, and the delta that it was evaluated at.
OnValueStep = Callable[[int, Step, Tensor], None]


def ignore_value_step(number: int, step: Step, delta: Tensor) -> None:
    """Take no notice."""


# Runs rows with deltas: given the numbers of some values, in order, and their deltas (d_out,),
# returns the logits (N, V) at the positions that each of them is read at.
Run = Callable[[Sequence[int], Sequence[Tensor]], list[Tensor]]


def train_values(
    run: Run,
    wanted: Sequence[Wanted],
    settings: ValueSettings,
    *,
    max_tokens: int | None = None,
    on_step: OnValueStep = ignore_value_step,
    training: type[Training] | None = None,
) -> list[Value]:
    """Train values side by side: each step is one run of as many as there is room for.

    A value that is done leaves, and one that waits takes its place. Each is the same as if it were
    trained alone: they share nothing but the run.

    Args:
        run: Runs rows with deltas; the model is frozen (`untouched`).
        wanted: The values, in the order in which `run` wants them.
        settings: How.
        max_tokens: Bound on the tokens of a run; one value may exceed it alone. None for no bound.
        on_step: Called after each evaluation, with the number of the value.
        training: How one value is trained; `Training` if not given.

    Returns:
        The deltas of the last updates, of the site alone where others are trained with it. One
        whose loss was not finite says so in `error`.

    Raises:
        MismatchError: If a first run gives other logits than expected.
    """
    values = [(training or Training)(w.targets, w.v0, settings) for w in wanted]
    waiting, active = list(range(len(wanted))), list[int]()
    while waiting or active:
        while waiting and (
            not active
            or max_tokens is None
            or sum(wanted[i].tokens for i in (*active, waiting[0])) <= max_tokens
        ):
            active.append(waiting.pop(0))
        with torch.enable_grad():
            logits = run(active, [values[i].delta for i in active])  # (N, V) each
            losses = {}
            for i, seen in zip(active, logits, strict=True):
                expected = wanted[i].expected
                if not values[i].steps and expected is not None:
                    require_same(seen.detach(), expected)
                losses[i] = values[i].evaluate(seen)
        for i in active:
            on_step(i, values[i].steps[-1], values[i].of_site.detach().clone())
        losses = {i: loss for i, loss in losses.items() if not values[i].done}
        if losses:
            leaves = [values[i].delta for i in losses]
            gradients = torch.autograd.grad(torch.stack(list(losses.values())).sum(), leaves)
            for i, gradient in zip(losses, gradients, strict=True):
                if len(values[i].steps) == 1 and not values[i].site_of(gradient).any():
                    values[i].stop_without_gradient(_moves(run, i, wanted[i]))
                else:
                    values[i].update(gradient)
        active = [i for i in losses if not values[i].done]
    return [t.value() for t in values]


class Training:
    """One value: delta, the losses that it had, and Adam's state.

    Args:
        targets: What the rows shall say.
        v0: (d_out,) what delta is added to, or (k, d_out) of several modules whose deltas are
            trained together, the site's first; each has its own clamp, and the decay is their sum.
        settings: How.

    Attributes:
        targets: As given.
        delta: The shape of v0, float32 or wider.
        weight: Of the answer's negative log-likelihood in the loss.
        steps: One per evaluation of the loss.
        done: Whether the training is over.
    """

    def __init__(self, targets: Targets, v0: Tensor, settings: ValueSettings):
        self.targets, self._settings = targets, settings
        self._wide = torch.promote_types(v0.dtype, torch.float32)
        self._norm = v0.to(self._wide).norm(dim=-1)  # () or (k,)
        self.delta = torch.zeros_like(v0, dtype=self._wide, requires_grad=True)
        self.weight = 1.0
        self._adam = torch.optim.Adam([self.delta], lr=settings.lr)
        self._clean: Tensor | None = None
        self.steps: list[Step] = []
        self.done = False
        self._reached = self._has_gradient = True
        self._error = ""

    @property
    def of_site(self) -> Tensor:
        """The site's delta, (d_out,)."""
        return self.site_of(self.delta)

    @staticmethod
    def site_of(x: Tensor) -> Tensor:
        """Return the site's part, (d_out,)."""
        return x[0] if x.dim() == 2 else x

    def ends(self, logp: Tensor, seen: Step) -> bool:
        """Whether training ends for a reason of its own; (N_a, V) log-probabilities."""
        return False

    def evaluate(self, logits: Tensor) -> Tensor:
        """Note the losses at (N, V) logits, and whether to stop; return what to differentiate."""
        targets, settings, n = self.targets, self._settings, len(self.targets.labels)
        logp = logits.to(self._wide).log_softmax(-1)  # (N, V)
        nll = nn.functional.nll_loss(logp[:n], targets.labels.to(logp.device), reduction="none")
        nll = (nll * targets.weights.to(self._wide).to(nll.device)).sum()
        kl = torch.zeros_like(nll)
        if targets.has_kl:
            self._clean = logp[n].detach() if self._clean is None else self._clean
            kl = settings.kl_factor * _divergence(logp[n], self._clean)
        decay = settings.weight_decay * (self.delta.norm(dim=-1) / self._norm**2).sum()
        loss = self.weight * nll + kl + decay.to(nll.device)
        seen = Step(*(float(x.detach()) for x in (loss, nll, kl, decay, self.of_site.norm())))
        self.steps.append(seen)
        first = len(self.steps) == 1
        if not math.isfinite(seen.loss):
            self._error = (
                f"the value's loss is {seen.loss} at step {len(self.steps) - 1}: the model gives "
                f"numbers that are not finite in {logits.dtype}; try a lower lr, or load it in a "
                "wider dtype"
            )
        self.done = (
            bool(self._error)
            or seen.loss < settings.stop_loss
            or self.ends(logp[:n].detach(), seen)
            or len(self.steps) == settings.steps
        )
        # At the first step delta is 0, where the KL term and the decay have no gradient.
        return nll if first else loss

    def stop_without_gradient(self, reached: bool) -> None:
        """End the training: the answer's loss has no gradient here."""
        self._reached, self._has_gradient, self.done = reached, False, True

    def update(self, gradient: Tensor) -> None:
        """Make one step of Adam, and clamp."""
        self.delta.grad = gradient
        self._adam.step()
        with torch.no_grad():
            lengths, bounds = self.delta.norm(dim=-1), self._settings.clamp * self._norm
            self.delta.mul_(torch.where(lengths > bounds, bounds / lengths, 1.0)[..., None])

    def value(self) -> Value:
        """Return what was trained."""
        delta = self.of_site.detach()
        return Value(delta, tuple(self.steps), self._reached, self._has_gradient, self._error)


@torch.no_grad()
def _moves(run: Run, number: int, wanted: Wanted) -> bool:
    """Whether the logits that predict the answer move when the site's output is doubled.

    A gradient may also vanish by rounding, where the answer is certain or impossible already.
    """
    n, v0 = len(wanted.targets.labels), wanted.v0
    still, moved = (run([number], [delta])[0][:n] for delta in (torch.zeros_like(v0), v0))
    return not torch.equal(still, moved)


def _divergence(logp: Tensor, clean: Tensor) -> Tensor:
    """KL(edited || clean) of two (V,) log-distributions, nats."""
    return (logp.exp() * (logp - clean)).sum()
