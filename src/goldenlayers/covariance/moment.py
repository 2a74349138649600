"""`KeyMoment`, the second moment of one layer's keys, and `KeySolver`, which solves with it.

Source: ROME, arXiv 2202.05262, section 3.1: C = E[k k^T] and u = C^-1 k. The inverse is never
formed: u comes from a Cholesky factor. A ridge keeps C positive definite and stands for what the
text has not shown: about ten times as many tokens as k is wide are enough with one (arXiv
2506.04226).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from goldenlayers.errors import EditError, SettingsError

# Share of the mean of C's diagonal that is added to the diagonal. Without it, directions that the
# text happens to lack would count as free, and u would be made of them. The size was chosen on text
# that had no part in C, by what an edit with u moves there, u^T C' u / (u . k)^2: from one to ten
# tokens per feature, 0.1 was best or near it at every layer tried, and 0.01 already worse.
RIDGE = 0.1
POWER_STEPS = 30


@dataclass(frozen=True, eq=False)
class KeyMoment:
    """Sum of k k^T over the tokens of a text, at one edit site.

    Attributes:
        layer: Index of the layer, from 0.
        site: Qualified name of the edit site.
        sum: (d_in, d_in) float32 or float64, symmetric, on the CPU.
        tokens: Number of tokens summed over.
        key: What the sum was made from: model, site, text, wanted tokens, length and dtype.
        info: What else is known of how it was made, ready for JSON.
        path: Its file, or None.
    """

    layer: int
    site: str
    sum: Tensor
    tokens: int
    key: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @property
    def width(self) -> int:
        """Width of the key, d_in."""
        return len(self.sum)

    @property
    def mean_square(self) -> float:
        """Mean over features and tokens of k^2: the mean of the covariance's diagonal."""
        return float(self.sum.diagonal().double().mean()) / max(1, self.tokens)

    def covariance(self, ridge: float = RIDGE) -> Tensor:
        """Return C = sum / tokens + ridge * mean(diagonal) * I, (d_in, d_in) float64.

        Args:
            ridge: Share of the mean of the diagonal, 0 or more.

        Raises:
            SettingsError: If `ridge` is negative or not finite.
            EditError: If no token was seen.
        """
        _check_ridge(ridge)
        if self.tokens < 1:
            raise EditError(f"layer {self.layer}: the second moment of the keys has no tokens")
        C = self.sum.double() / self.tokens  # (d_in, d_in)
        C.diagonal().add_(ridge * float(C.diagonal().mean()))
        return C

    def solver(self, ridge: float = RIDGE) -> KeySolver:
        """Return what solves C u = k; see `KeySolver`."""
        return KeySolver(self, ridge)

    def spectrum(self) -> Spectrum:
        """Return a few cheap figures of the sum's eigenvalues, without a decomposition."""
        total = self.sum.double()  # (d_in, d_in)
        trace = float(total.trace())
        if trace <= 0:
            return Spectrum(0.0, 0.0)
        # power iteration from the features' own scales, which cannot be at right angles to the top
        v = total.diagonal().sqrt()
        for _ in range(POWER_STEPS):
            v = total @ v
            v = v / v.norm()
        return Spectrum(float(v @ (total @ v)) / trace, trace**2 / float(total.square().sum()))


@dataclass(frozen=True, slots=True)
class Spectrum:
    """What the eigenvalues of a second moment look like.

    Attributes:
        top_share: Share of the trace in the largest eigenvalue, from power iteration (a lower
            bound that is close where one direction stands out).
        directions: Participation ratio, (sum of eigenvalues)^2 / sum of their squares: about how
            many directions the keys fill.
    """

    top_share: float
    directions: float

    def condition(self, width: int, ridge: float = RIDGE) -> float:
        """Return a bound on the condition number of C with the ridge, for keys of that width."""
        return 1 + self.top_share * width / ridge if ridge > 0 else float("inf")


class KeySolver:
    """Solves C u = k for many keys, by one Cholesky factorisation.

    The factor is float64 whatever the sum is: the ridge leaves condition numbers up to
    d_in / ridge, more than float32 can solve with. It takes d_in^3 / 3 operations and 8 d_in^2
    bytes (19 MB for 1,536 features, 1.6 GB for 14,336).

    Args:
        moment: The second moment.
        ridge: Share of the mean of the diagonal, see `KeyMoment.covariance`.

    Raises:
        EditError: If the matrix is not positive definite.
        SettingsError: If `ridge` is negative or not finite.
    """

    def __init__(self, moment: KeyMoment, ridge: float = RIDGE):
        self.layer = moment.layer
        self.width = moment.width
        self.ridge = ridge
        self._factor, failed = torch.linalg.cholesky_ex(moment.covariance(ridge))
        if int(failed) or not bool(self._factor.diagonal().isfinite().all()):
            raise EditError(
                f"layer {moment.layer}: the covariance of the keys is not positive definite with "
                f"{moment.tokens:,} tokens for {moment.width:,} features and a ridge of {ridge:g}; "
                f"give a larger ridge (the default is {RIDGE:g}) or more tokens"
            )

    def solve(self, keys: Tensor) -> Tensor:
        """Return u = C^-1 k.

        Args:
            keys: (d_in,), or (N, d_in) for N keys; any float dtype and device.

        Returns:
            The same shape, float64, on the device of `keys`.

        Raises:
            EditError: If the keys are of another width, or not finite.
        """
        if keys.dim() not in (1, 2) or keys.shape[-1] != self.width:
            raise EditError(
                f"layer {self.layer}: keys of shape {tuple(keys.shape)}; expected "
                f"({self.width},) or (N, {self.width}), the width of the edit site's input"
            )
        if not bool(keys.isfinite().all()):
            raise EditError(f"layer {self.layer}: a key is not finite; try --dtype float32")
        rows = keys.detach().to("cpu", torch.float64).reshape(-1, self.width)  # (N, d_in)
        u = torch.cholesky_solve(rows.T, self._factor).T  # (N, d_in)
        return u.contiguous().reshape(keys.shape).to(keys.device)


def _check_ridge(ridge: float) -> None:
    if not 0 <= ridge < float("inf"):
        raise SettingsError(f"ridge {ridge}: expected a finite number of 0 or more")
