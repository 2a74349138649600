"""Values trained side by side: each step is one run of many of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor, nn

from goldenlayers.editors.edit import Step
from goldenlayers.editors.value import (
    Targets,
    Value,
    ValueSettings,
    Wanted,
    require_all_same,
)
from goldenlayers.passes.room import Room
from goldenlayers.passes.transfers import fetched

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
    max_tokens: int | Room | None = None,
    on_step: OnValueStep = ignore_value_step,
    training: type[Training] | None = None,
) -> list[Value]:
    """Train values side by side: each step is one run of as many as there is room for.

    A value that is done leaves, and one that waits takes its place. Each is the same as if it were
    trained alone: they share nothing but the run. Where memory runs out in a step, some of the
    values wait as they are, and the step is made with the others.

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
        MemoryShortError: If memory does not suffice for one value alone.
    """
    values = [(training or Training)(w.targets, w.v0, settings) for w in wanted]
    room = Room.of(max_tokens)
    waiting, active = list(range(len(wanted))), list[int]()
    while waiting or active:
        while waiting and (
            not active or room.holds(sum(wanted[i].tokens for i in (*active, waiting[0])))
        ):
            active.append(waiting.pop(0))
        gradients = room.attempt(
            partial(_step, run, wanted, values, active),
            sum(wanted[i].tokens for i in active),
            least="one value alone" if len(active) == 1 else None,
        )
        if gradients is None:
            # the first ones stay, so that the order, shallow first, does not change
            half = len(active) // 2
            waiting, active = active[half:] + waiting, active[:half]
            continue
        for i in active:
            on_step(i, values[i].steps[-1], values[i].of_site.detach().clone())
        first = [i for i in gradients if len(values[i].steps) == 1]
        moves = fetched([values[i].site_of(gradients[i]).any() for i in first])
        still = {i for i, moved in zip(first, moves, strict=True) if not moved}
        for i, gradient in gradients.items():
            if i in still:
                values[i].stop_without_gradient(_moves(run, i, wanted[i]))
            else:
                values[i].update(gradient)
        active = [i for i in gradients if not values[i].done]
    return [t.value() for t in values]


def _step(
    run: Run, wanted: Sequence[Wanted], values: Sequence[Training], active: Sequence[int]
) -> dict[int, Tensor]:
    """Evaluate the active values; return the gradients of those that are not done.

    What is noted of the evaluation is taken back where the backward pass fails. The losses are
    fetched together, before the backward pass: what they are decides what is differentiated.
    """
    with torch.enable_grad():
        logits = run(active, [values[i].delta for i in active])  # (N, V) each
        require_all_same(
            [
                (seen.detach(), expected)
                for i, seen in zip(active, logits, strict=True)
                if not values[i].steps and (expected := wanted[i].expected) is not None
            ]
        )
        looked = [values[i].look(seen) for i, seen in zip(active, logits, strict=True)]
    numbers = fetched([x for one in looked for x in one.numbers])
    losses = {}
    for k, (i, one) in enumerate(zip(active, looked, strict=True)):
        n = len(one.numbers)
        losses[i] = values[i].note(one, numbers[k * n : (k + 1) * n])
    losses = {i: loss for i, loss in losses.items() if not values[i].done}
    if not losses:
        return {}
    try:
        leaves = [values[i].delta for i in losses]
        gradients = torch.autograd.grad(torch.stack(list(losses.values())).sum(), leaves)
    except BaseException:
        for i in active:
            values[i].take_back()
        raise
    return dict(zip(losses, gradients, strict=True))


@dataclass(frozen=True)
class Looked:
    """What an evaluation found, still on the device.

    Attributes:
        loss: What is differentiated.
        numbers: Loss, its three parts and the length of delta, for `Step`; then what `ends` needs.
        dtype: Of the logits.
    """

    loss: Tensor
    numbers: tuple[Tensor, ...]
    dtype: torch.dtype


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
        self.weight = self._before = 1.0
        self._adam = torch.optim.Adam([self.delta], lr=settings.lr)
        self._clean: Tensor | None = None
        self._sent: Tensor | None = None
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

    def sign(self, logp: Tensor) -> Tensor | None:
        """Return a number on the device that `ends` needs, of (N_a, V) log-probabilities."""
        return None

    def ends(self, sign: float, seen: Step) -> bool:
        """Whether training ends for a reason of its own, by what `sign` gave."""
        return False

    def look(self, logits: Tensor) -> Looked:
        """Evaluate the losses at (N, V) logits; nothing is noted and nothing fetched."""
        targets, settings, n = self.targets, self._settings, len(self.targets.labels)
        logp = logits.to(self._wide).log_softmax(-1)  # (N, V)
        nll = nn.functional.nll_loss(logp[:n], targets.labels.to(logp.device), reduction="none")
        nll = (nll * self._weights(nll.device)).sum()
        kl = torch.zeros_like(nll)
        if targets.has_kl:
            self._clean = logp[n].detach() if self._clean is None else self._clean
            kl = settings.kl_factor * _divergence(logp[n], self._clean)
        decay = settings.weight_decay * (self.delta.norm(dim=-1) / self._norm**2).sum()
        loss = self.weight * nll + kl + decay.to(nll.device)
        sign = self.sign(logp[:n].detach())
        numbers = (loss, nll, kl, decay, self.of_site.norm(), *(() if sign is None else (sign,)))
        # At the first step delta is 0, where the KL term and the decay have no gradient.
        return Looked(loss if self.steps else nll, numbers, logits.dtype)

    def note(self, looked: Looked, numbers: Sequence[float]) -> Tensor:
        """Note what was found, fetched, and whether to stop; return what to differentiate."""
        settings = self._settings
        seen = Step(*numbers[: len(fields(Step))])
        self._before = self.weight
        self.steps.append(seen)
        if not math.isfinite(seen.loss):
            self._error = (
                f"the value's loss is {seen.loss} at step {len(self.steps) - 1}: the model gives "
                f"numbers that are not finite in {looked.dtype}; try a lower lr, or load it in a "
                "wider dtype"
            )
        self.done = (
            bool(self._error)
            or seen.loss < settings.stop_loss
            or self.ends(numbers[-1], seen)
            or len(self.steps) == settings.steps
        )
        return looked.loss

    def take_back(self) -> None:
        """Forget the last evaluation, as if it had not been made."""
        self.steps.pop()
        self.weight, self.done, self._error = self._before, False, ""

    def _weights(self, device: torch.device) -> Tensor:
        """Return the targets' weights on the device of the logits; they are sent there once."""
        if self._sent is None or self._sent.device != device:
            self._sent = self.targets.weights.to(self._wide).to(device, non_blocking=True)
        return self._sent

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
