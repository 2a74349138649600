"""`Update`: what is added to one weight, as two narrow matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from goldenlayers.errors import EditError

FACTOR_DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True, eq=False)
class Update:
    """What is added to the weight of one edit site: dW = left @ right.T, (d_out, d_in).

    Two updates are equal if they name the same site and their factors agree bit for bit.

    Attributes:
        layer: Index of the layer, from 0.
        name: Qualified name of the site's module.
        transposed: Whether the weight is stored (d_in, d_out), as Conv1D does.
        left: (d_out, r) float32 or float64, on the CPU.
        right: (d_in, r), the same dtype.
        keys: (d_in, n) of the same dtype: keys of the facts that were edited, kept by editors whose
            later edits must not disturb them; None by the others.

    Raises:
        EditError: If the factors are not two such matrices of the same rank, 1 or more.
    """

    layer: int
    name: str
    transposed: bool
    left: Tensor
    right: Tensor
    keys: Tensor | None = None

    def __post_init__(self) -> None:
        left, right = self.left, self.right
        fine = left.dim() == 2 == right.dim() and left.shape[1] == right.shape[1] > 0
        if not fine or left.dtype != right.dtype or left.dtype not in FACTOR_DTYPES:
            raise EditError(
                f"{self.name!r}: found factors {tuple(left.shape)} {left.dtype} and "
                f"{tuple(right.shape)} {right.dtype}; expected (d_out, r) and (d_in, r), "
                "both float32 or both float64, with r of 1 or more"
            )
        keys = self.keys
        if keys is not None and (
            keys.dim() != 2 or keys.shape[0] != len(right) or keys.dtype != right.dtype
        ):
            raise EditError(
                f"{self.name!r}: found keys {tuple(keys.shape)} {keys.dtype}; expected "
                f"({len(right)}, n) {right.dtype}"
            )

    @property
    def rank(self) -> int:
        """Number of factors."""
        return self.left.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the weight as it is stored: (d_out, d_in), or (d_in, d_out) if transposed."""
        d_out, d_in = self.left.shape[0], self.right.shape[0]
        return (d_in, d_out) if self.transposed else (d_out, d_in)

    @property
    def norm(self) -> float:
        """Frobenius norm of dW, from the factors: |L R^T|^2 = sum of (L^T L) * (R^T R)."""
        left, right = self.left.double(), self.right.double()
        square = float(((left.T @ left) * (right.T @ right)).sum())  # (r, r) each
        return math.sqrt(max(square, 0.0)) if square == square else math.nan

    @property
    def finite(self) -> bool:
        """Whether all factors and keys are finite."""
        parts = (self.left, self.right, *(() if self.keys is None else (self.keys,)))
        return all(bool(torch.isfinite(x).all()) for x in parts)

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return dW at flat positions, (n,) int64, of the stored weight.

        Returns:
            (n,) float64 values, and (n,) float64 sums of the magnitudes of their terms, which
            bound the error of a sum in any order.
        """
        width = self.shape[1]
        rows, columns = positions // width, positions % width  # (n,), (n,)
        out, into = (columns, rows) if self.transposed else (rows, columns)
        terms = self.left[out].double() * self.right[into].double()  # (n, r)
        return terms.sum(1), terms.abs().sum(1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Update):
            return NotImplemented
        mine = (self.layer, self.name, self.transposed, self.left.dtype)
        theirs = (other.layer, other.name, other.transposed, other.left.dtype)
        return (
            mine == theirs
            and torch.equal(self.left, other.left)
            and torch.equal(self.right, other.right)
            and (self.keys is None) == (other.keys is None)
            and (self.keys is None or other.keys is None or torch.equal(self.keys, other.keys))
        )

    def __hash__(self) -> int:
        return hash((self.layer, self.name, tuple(self.left.shape), tuple(self.right.shape)))
