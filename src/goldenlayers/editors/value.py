"""The value: what the edit site shall write at the subject's last token.

v* = v0 + delta (ROME, arXiv 2202.05262, equation 4 and its code): delta is trained with Adam on
    mean over templates of the new answer's mean negative log-likelihood
  + kl_factor * KL(edited || clean) of the next token after "{subject} is a"
  + weight_decay * |delta| / |v0|^2
and clamped to clamp * |v0|. Training stops before the update once the loss is under `stop_loss`;
n steps make at most n - 1 updates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from goldenlayers.editors.edit import Step
from goldenlayers.editors.numbers import require_number, require_whole

# Called after each evaluation of a loss with the number of the value among those trained together,
# the step, and the delta that it was evaluated at.
OnValueStep = Callable[[int, Step, Tensor], None]


def ignore_value_step(number: int, step: Step, delta: Tensor) -> None:
    """Take no notice."""


# Runs rows with deltas: given the numbers of some values, in order, and their deltas (d_out,),
# returns the logits (N, V) at the positions that each of them is read at.
Run = Callable[[Sequence[int], Sequence[Tensor]], list[Tensor]]


@dataclass(frozen=True)
class ValueSettings:
    """How a value is trained; see `goldenlayers.editors.defaults.published`.

    Attributes:
        lr: Learning rate of Adam.
        steps: Evaluations of the loss; at most steps - 1 updates.
        weight_decay: Weight of |delta| / |v0|^2, nats.
        clamp: Bound on |delta|, in norms of v0.
        kl_factor: Weight of the KL term.
        stop_loss: Stop before the update when the total loss is under this, nats.
    """

    lr: float = 0.5
    steps: int = 25
    weight_decay: float = 0.001
    clamp: float = 4.0
    kl_factor: float = 0.0625
    stop_loss: float = 0.05

    def __post_init__(self) -> None:
        require_whole("steps", self.steps)
        for name in ("lr", "clamp"):
            require_number(name, getattr(self, name), above_zero=True)
        for name in ("weight_decay", "kl_factor", "stop_loss"):
            require_number(name, getattr(self, name))


@dataclass(frozen=True)
class Targets:
    """What the rows shall say.

    Attributes:
        labels: (N_a,) int64, answer tokens; the first N_a positions read predict them.
        weights: (N_a,) float64 on the CPU, sums to 1: 1 / (templates * answer tokens of the row).
        has_kl: Whether one more position is read, the one after "{subject} is a".
    """

    labels: Tensor
    weights: Tensor
    has_kl: bool


@dataclass(frozen=True)
class Value:
    """A trained delta.

    Attributes:
        delta: (d_out,) float32 or wider.
        steps: One per evaluation of the loss.
        reached: Whether anything that predicts the answer reads the site at the subject's last
            token.
        has_gradient: Whether the answer's loss had a gradient there at the first step.
        error: Why the training ended early, if its loss was not finite.
    """

    delta: Tensor
    steps: tuple[Step, ...]
    reached: bool = True
    has_gradient: bool = True
    error: str = ""

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood at the last evaluation, nats per token."""
        return self.steps[-1].nll


@dataclass(frozen=True)
class Wanted:
    """A value to be trained.

    Attributes:
        targets: What the positions read shall predict.
        v0: (d_out,) what delta is added to.
        expected: (N, V) logits of the clean model at the positions read, which the first run, with
            a delta of 0, must give within rounding; None if that need not be checked.
        tokens: What a run of it costs, for `max_tokens`.
    """

    targets: Targets
    v0: Tensor
    expected: Tensor | None = None
    tokens: int = 0


class MismatchError(Exception):
    """The first run does not give the clean model's logits: its rows cannot be relied on."""


def train_values(
    run: Run,
    wanted: Sequence[Wanted],
    settings: ValueSettings,
    *,
    max_tokens: int | None = None,
    on_step: OnValueStep = ignore_value_step,
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

    Returns:
        The deltas of the last updates. One whose loss was not finite says so in `error`.

    Raises:
        MismatchError: If a first run gives other logits than expected.
    """
    training = [_Training(w.targets, w.v0, settings) for w in wanted]
    waiting, active = list(range(len(wanted))), list[int]()
    while waiting or active:
        while waiting and (
            not active
            or max_tokens is None
            or sum(wanted[i].tokens for i in (*active, waiting[0])) <= max_tokens
        ):
            active.append(waiting.pop(0))
        with torch.enable_grad():
            logits = run(active, [training[i].delta for i in active])  # (N, V) each
            losses = {}
            for i, seen in zip(active, logits, strict=True):
                expected = wanted[i].expected
                if not training[i].steps and expected is not None:
                    require_same(seen.detach(), expected)
                losses[i] = training[i].evaluate(seen)
        for i in active:
            on_step(i, training[i].steps[-1], training[i].delta.detach().clone())
        losses = {i: loss for i, loss in losses.items() if not training[i].done}
        if losses:
            leaves = [training[i].delta for i in losses]
            gradients = torch.autograd.grad(torch.stack(list(losses.values())).sum(), leaves)
            for i, gradient in zip(losses, gradients, strict=True):
                if len(training[i].steps) == 1 and not gradient.any():
                    training[i].stop_without_gradient(_moves(run, i, wanted[i]))
                else:
                    training[i].update(gradient)
        active = [i for i in losses if not training[i].done]
    return [t.value() for t in training]


class _Training:
    """One delta, the losses that it had, and Adam's state."""

    def __init__(self, targets: Targets, v0: Tensor, settings: ValueSettings):
        self._targets, self._settings = targets, settings
        self._wide = torch.promote_types(v0.dtype, torch.float32)
        self._norm = v0.to(self._wide).norm()
        self.delta = torch.zeros_like(v0, dtype=self._wide, requires_grad=True)  # (d_out,)
        self._adam = torch.optim.Adam([self.delta], lr=settings.lr)
        self._clean: Tensor | None = None
        self.steps: list[Step] = []
        self.done = False
        self._reached = self._has_gradient = True
        self._error = ""

    def evaluate(self, logits: Tensor) -> Tensor:
        """Note the losses at (N, V) logits, and whether to stop; return what to differentiate."""
        targets, settings, n = self._targets, self._settings, len(self._targets.labels)
        logp = logits.to(self._wide).log_softmax(-1)  # (N, V)
        nll = nn.functional.nll_loss(logp[:n], targets.labels.to(logp.device), reduction="none")
        nll = (nll * targets.weights.to(self._wide).to(nll.device)).sum()
        kl = torch.zeros_like(nll)
        if targets.has_kl:
            self._clean = logp[n].detach() if self._clean is None else self._clean
            kl = settings.kl_factor * _divergence(logp[n], self._clean)
        decay = settings.weight_decay * self.delta.norm() / self._norm**2
        loss = nll + kl + decay.to(nll.device)
        seen = Step(*(float(x.detach()) for x in (loss, nll, kl, decay, self.delta.norm())))
        self.steps.append(seen)
        first = len(self.steps) == 1
        if not math.isfinite(seen.loss):
            self._error = (
                f"the value's loss is {seen.loss} at step {len(self.steps) - 1}: the model gives "
                f"numbers that are not finite in {logits.dtype}; try a lower lr, or load it in a "
                "wider dtype"
            )
        self.done = (
            bool(self._error) or seen.loss < settings.stop_loss or len(self.steps) == settings.steps
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
            length, bound = self.delta.norm(), self._settings.clamp * self._norm
            if length > bound:
                self.delta.mul_(bound / length)

    def value(self) -> Value:
        """Return what was trained."""
        return Value(
            self.delta.detach(), tuple(self.steps), self._reached, self._has_gradient, self._error
        )


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


def require_same(found: Tensor, expected: Tensor) -> None:
    """Refuse logits that are not those expected, but for rounding.

    Raises:
        MismatchError: If they differ.
    """
    # Rounding differs, because products of other sizes are summed in another order; some models
    # round their attention to float32 whatever their dtype.
    tolerance = {torch.float64: 1e-5, torch.float32: 1e-4}.get(found.dtype, 2e-2)
    scale = expected.abs().max().clamp_min(1e-6)
    error = (found - expected).abs().max() / scale
    if not error <= tolerance:  # NaN too
        raise MismatchError(f"logits differ by {float(error):.1e} of the largest")
