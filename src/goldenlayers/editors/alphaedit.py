"""AlphaEdit: the update is kept out of the directions that running text uses.

    dW^T = (P (K K^T + K_p K_p^T) P + L2 I)^-1 P K R^T        arXiv 2410.02355, section 3

P projects onto the eigenvectors of C = E[k k^T] whose eigenvalues are under a threshold, and K_p
are the keys of earlier edits, which an `Edit` carries in its updates: the caller holds them, and
gives the earlier edits to later ones. With M = P [K_p K], (d_in, m + n), the system is solved as
    X = M (M^T M + L2 I)^-1, the columns of K,
by Cholesky in float64: symmetric, and only as large as there are facts. Where these outnumber
d_in, the system of the equation is solved instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.editors.batch import BatchEditor
from goldenlayers.editors.numbers import require_number
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.errors import EditError
from goldenlayers.models.sites import EditSite


class NullSpace:
    """Directions of a site's keys that running text hardly uses.

    Attributes:
        basis: (d_in, free) float64, orthonormal.
        share: Share of all directions that is free.
        threshold: The eigenvalue under which a direction counts as free.
    """

    def __init__(self, moment: KeyMoment, threshold: float, relative: bool):
        values, vectors = torch.linalg.eigh(moment.covariance(0.0))  # (d_in,), (d_in, d_in)
        mean = float(values.mean())
        self.threshold = threshold * mean if relative else threshold
        self.basis: Tensor = vectors[:, values < self.threshold].contiguous()
        self.share = self.basis.shape[1] / len(values)
        if not self.basis.shape[1]:
            raise EditError(
                f"layer {moment.layer}: no direction of the keys has an eigenvalue under "
                f"{self.threshold:g} (the smallest is {float(values[0]):.2g}, their mean "
                f"{mean:.2g}); give a larger threshold, or one that is relative"
            )

    def project(self, keys: Tensor) -> Tensor:
        """Return P k for (d_in, n) keys, float64."""
        rows = keys.to(self.basis)
        return self.basis @ (self.basis.T @ rows)


def free_share(moment: KeyMoment, threshold: float, relative: bool = False) -> float:
    """Return the share of a layer's directions that a threshold leaves to AlphaEdit.

    One eigendecomposition, (d_in, d_in): a second at 1,536 features, and eight times that at twice
    as many.

    Args:
        moment: Of the layer's keys.
        threshold: As `AlphaEdit`.
        relative: As `AlphaEdit`.
    """
    values = torch.linalg.eigvalsh(moment.covariance(0.0))  # (d_in,)
    return float((values < threshold * (values.mean() if relative else 1.0)).double().mean())


@dataclass(frozen=True)
class AlphaEdit(BatchEditor):
    """AlphaEdit over a window of layers. Settings as `BatchEditor`, and more; `ridge` has no say.

    Attributes:
        threshold: Eigenvalue of C under which a direction is free, absolute as published.
        relative: Whether `threshold` counts in mean eigenvalues of the layer instead, so that it
            keeps a like share of the directions in every layer.
        l2: Weight of |dW|^2.
    """

    threshold: float = 2e-2
    relative: bool = False
    l2: float = 10.0
    window: int = 5

    name: ClassVar[str] = "alphaedit"
    family: ClassVar[str] = "alphaedit"
    keeps_keys: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("threshold", "l2"):
            require_number(name, getattr(self, name), above_zero=True)
        super().__post_init__()

    def solver(self, moment: KeyMoment) -> Any:
        """Return the layer's free directions."""
        return NullSpace(moment, self.threshold, self.relative)

    def right(self, request: EditRequest, site: EditSite, keys: Tensor) -> Tensor:
        """Return X; see the module."""
        space: NullSpace = request.solvers[site.layer]
        new = space.project(keys)  # (d_in, n)
        earlier = request.earlier.get(site.name)
        old = new[:, :0] if earlier is None else space.project(earlier.to(keys.device))
        M = torch.cat([old, new], dim=1)  # (d_in, m + n)
        if M.shape[1] <= M.shape[0]:
            wanted = torch.eye(M.shape[1], dtype=M.dtype, device=M.device)[:, old.shape[1] :]
            return M @ _solved(M.T @ M, wanted, self.l2)
        return _solved(M @ M.T, new, self.l2)

    def told(self, request: EditRequest) -> dict[str, object]:
        """Tell the share of directions that was free, by layer."""
        shares = {str(s.layer): round(request.solvers[s.layer].share, 4) for s in request.sites}
        return {"free_directions": shares}


def _solved(gram: Tensor, wanted: Tensor, l2: float) -> Tensor:
    """Solve (gram + l2 I) x = wanted for a symmetric gram."""
    system = (gram + gram.T) / 2
    system.diagonal().add_(l2)
    return torch.cholesky_solve(wanted, torch.linalg.cholesky(system))
