"""The value: what the edit site shall write at the subject's last token.

v* = v0 + delta (ROME, arXiv 2202.05262, equation 4 and its code): delta is trained with Adam on
    mean over templates of the new answer's mean negative log-likelihood
  + kl_factor * KL(edited || clean) of the next token after "{subject} is a"
  + weight_decay * |delta| / |v0|^2
and clamped to clamp * |v0|. Training stops before the update once the loss is under `stop_loss`;
n steps make at most n - 1 updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goldenlayers.editors.edit import Step
from goldenlayers.editors.numbers import MOST_LR, require_number, require_whole


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
        require_number("lr", self.lr, above_zero=True, most=MOST_LR)
        require_number("clamp", self.clamp, above_zero=True)
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
        v0: (d_out,) what delta is added to, or (k, d_out); see `Training`.
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


def require_same(found: Tensor, expected: Tensor) -> None:
    """Refuse logits that are not those expected, but for rounding.

    Raises:
        MismatchError: If they differ.
    """
    require_all_same([(found, expected)])


def require_all_same(pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Do the same for several pairs; the device is waited for once.

    Raises:
        MismatchError: If one of them differs.
    """
    if not pairs:
        return
    errors = []
    for found, expected in pairs:
        scale = expected.abs().max().clamp_min(1e-6)
        errors.append(((found - expected).abs().max() / scale).double().to(pairs[0][0].device))
    for (found, _), error in zip(pairs, torch.stack(errors).tolist(), strict=True):
        # Rounding differs, because products of other sizes are summed in another order; some models
        # round their attention to float32 whatever their dtype.
        tolerance = {torch.float64: 1e-5, torch.float32: 1e-4}.get(found.dtype, 2e-2)
        if not error <= tolerance:  # NaN too
            raise MismatchError(f"logits differ by {error:.1e} of the largest")
