"""MEMIT and EMMET: keys are answered, weighed against keys that must stay as they are.

    X = C^-1 K (lambda I + K^T C^-1 K)^-1

MEMIT (arXiv 2210.07229, equation 14) minimises lambda E|dW k|^2 over running text plus the error on
the facts: dW = R K^T (lambda C + K K^T)^-1, which is R X^T by the Woodbury identity. EMMET (arXiv
2403.14236) demands the facts instead: dW = R (K^T C^-1 K)^-1 K^T C^-1, softened by a
small lambda on the diagonal. At one layer the two differ in lambda alone. C is the second moment of
the keys (with `ridge`), factored once in float64 and never inverted; the n x n system of a batch is
solved by Cholesky in float64.

lambda counts against k^T C^-1 k, whose mean over running text is the width of the key, d_in. So a
published lambda is carried over to another model by the width: 15,000 at LLaMA-2-7B's 11,008
features holds back as much as 2,093 at 1,536.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from goldenlayers.editors.batch import BatchEditor
from goldenlayers.editors.defaults import like_gpt2
from goldenlayers.editors.numbers import require_number
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.site_editor import model_type
from goldenlayers.errors import EditError
from goldenlayers.models.sites import EditSite


@dataclass(frozen=True)
class MEMIT(BatchEditor):
    """MEMIT over a window of layers. Settings as `BatchEditor`, and one more.

    Attributes:
        lam: lambda, the weight of what must stay: of E|dW k|^2 over running text, against the
            squared error on the facts. None for the published one, 20,000 at GPT-2 XL's width or
            15,000 at LLaMA-2-7B's, carried over by the width.
    """

    lam: float | None = None
    window: int = 5

    name: ClassVar[str] = "memit"
    family: ClassVar[str] = "memit"
    # of GPT-2 XL and of LLaMA-2-7B, per feature of the key
    lam_of_a_feature: ClassVar[tuple[float, float]] = (20000.0 / 6400, 15000.0 / 11008)

    def __post_init__(self) -> None:
        if self.lam is not None:
            require_number("lam", self.lam)
        super().__post_init__()

    def right(self, request: EditRequest, site: EditSite, keys: Tensor) -> Tensor:
        """Return X; see the module."""
        lam = self.lam
        if lam is None:
            lam = site.d_in * self.lam_of_a_feature[not like_gpt2(model_type(request))]
        u = request.solvers[site.layer].solve(keys.T.double()).T  # (d_in, n)
        system = keys.T.double() @ u  # (n, n)
        system.diagonal().add_(lam)
        factor, failed = torch.linalg.cholesky_ex((system + system.T) / 2)
        scale = float(system.diagonal().max())
        if int(failed) or not float(factor.diagonal().min()) ** 2 > 1e-12 * scale:
            raise EditError(
                f"layer {site.layer}: the keys of {keys.shape[1]} facts are not independent, so "
                f"they cannot be answered one by one with lam={lam:g}; give a larger lam, or "
                "same_subject='merge'"
            )
        return torch.cholesky_solve(u.T, factor).T


@dataclass(frozen=True)
class EMMET(MEMIT):
    """EMMET at one layer; settings as MEMIT.

    lam None is the published one, carried over by the width: 100 at GPT-2 XL's (0.1 times its
    weight of the covariance, 1,000) or 0.1 at LLaMA-2-7B's; 0 demands the facts exactly.
    """

    window: int = 1

    name: ClassVar[str] = "emmet"
    takes_window: ClassVar[bool] = False
    lam_of_a_feature: ClassVar[tuple[float, float]] = (100.0 / 6400, 0.1 / 11008)
