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
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from goldenlayers.editors.edit import Step
from goldenlayers.errors import SettingsError
from goldenlayers.passes.rows import Clean

# Called after each evaluation of a loss with the position of the layer among those trained
# together, the step, and the delta that it was evaluated at.
OnLayerStep = Callable[[int, Step, Tensor], None]


def ignore_layer_step(layer: int, step: Step, delta: Tensor) -> None:
    """Take no notice."""


class Runs(Protocol):
    """Rows that can be run with a delta: `Tails` or `WholeRows`."""

    clean: Clean
    tokens: int

    def logits(self, deltas: Tensor, active: Sequence[int] | None = None) -> Tensor:
        """Return (A, N, V) logits at the positions read, for A of the layers."""
        ...


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
        if isinstance(self.steps, bool) or not isinstance(self.steps, int):
            raise SettingsError(f"steps {self.steps!r}: expected a whole number above 0")
        for name in ("lr", "steps", "clamp"):
            require_number(name, getattr(self, name), above_zero=True)
        for name in ("weight_decay", "kl_factor", "stop_loss"):
            require_number(name, getattr(self, name))


def require_number(name: str, value: Any, *, above_zero: bool = False) -> None:
    """Refuse a setting that is no finite number of 0 or more.

    Raises:
        SettingsError: If it is not.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    least = 0.0 if not above_zero else math.nextafter(0.0, 1.0)
    if number and least <= value < math.inf:
        return
    bound = "above 0" if above_zero else "of 0 or more"
    raise SettingsError(f"{name} {value!r}: expected a number {bound}")


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


class MismatchError(Exception):
    """The first run does not give the clean model's logits: its rows cannot be relied on."""


def train_values(
    rows: Runs,
    targets: Targets,
    v0s: Sequence[Tensor],
    settings: ValueSettings,
    *,
    expected: Tensor | None = None,
    on_step: OnLayerStep = ignore_layer_step,
) -> list[Value]:
    """Train one delta per layer, side by side: each step is one run of all that are not done.

    A layer's delta is the same as if it were trained alone: the layers share nothing but the run.

    Args:
        rows: What is run, for G layers; its model is frozen (`untouched`).
        targets: What the positions read shall predict.
        v0s: G values (d_out,) that the deltas are added to.
        settings: How.
        expected: (N, V) logits of the clean model at the positions read. The first run, with all
            deltas 0, must give them within rounding at every layer.
        on_step: Called after each evaluation, with the position of the layer among the G.

    Returns:
        The deltas of the last updates. One whose loss was not finite says so in `error`.

    Raises:
        MismatchError: If the first run gives other logits than `expected`.
    """
    training = [_Training(targets, v0, settings) for v0 in v0s]
    active = list(range(len(v0s)))
    for step in range(settings.steps):
        with torch.enable_grad():
            deltas = torch.stack([training[g].delta for g in active])  # (A, d_out)
            logits = rows.logits(deltas, active)  # (A, N, V)
            if step == 0 and expected is not None:
                _require_same(logits.detach(), expected)
            losses = {g: training[g].evaluate(x) for g, x in zip(active, logits, strict=True)}
        for g in active:
            on_step(g, training[g].steps[-1], training[g].delta.detach().clone())
        losses = {g: loss for g, loss in losses.items() if not training[g].done}
        if not losses:
            break
        leaves = [training[g].delta for g in losses]
        gradients = torch.autograd.grad(torch.stack(list(losses.values())).sum(), leaves)
        for g, gradient in zip(losses, gradients, strict=True):
            if step == 0 and not gradient.any():
                training[g].stop_without_gradient(_moves(rows, g, v0s[g], len(targets.labels)))
            else:
                training[g].update(gradient)
        active = [g for g in losses if not training[g].done]
        if not active:
            break
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
def _moves(rows: Runs, g: int, v0: Tensor, n: int) -> bool:
    """Whether the n logits that predict layer g's answer move when its site's output is doubled.

    A gradient may also vanish by rounding, where the answer is certain or impossible already.
    """
    still, moved = (rows.logits(delta[None], [g])[0, :n] for delta in (torch.zeros_like(v0), v0))
    return not torch.equal(still, moved)


def _divergence(logp: Tensor, clean: Tensor) -> Tensor:
    """KL(edited || clean) of two (V,) log-distributions, nats."""
    return (logp.exp() * (logp - clean)).sum()


def _require_same(found: Tensor, expected: Tensor) -> None:
    # Rounding differs, because products of other sizes are summed in another order; some models
    # round their attention to float32 whatever their dtype.
    tolerance = {torch.float64: 1e-5, torch.float32: 1e-4}.get(found.dtype, 2e-2)
    scale = expected.abs().max().clamp_min(1e-6)
    error = (found - expected).abs().max() / scale
    if not error <= tolerance:  # NaN too
        raise MismatchError(f"logits differ by {float(error):.1e} of the largest")
