"""The model that is checked, with the facts, layers and tolerances of all checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from goldenlayers.conformance.result import FAILS, HOLDS, Found
from goldenlayers.editors.weights import weight_of
from goldenlayers.errors import SiteError
from goldenlayers.facts.fact import Fact
from goldenlayers.models.sites import EditSite, find_sites

# Relative error that a fast path may have, by the dtype of the model. Some families round their
# attention to float32 whatever the dtype (GPT-J, Bloom), so float64 is no tighter than that allows.
TOLERANCE = {
    torch.float64: 1e-5,
    torch.float32: 5e-3,
    torch.float16: 5e-2,
    torch.bfloat16: 2e-1,
}


@dataclass(frozen=True)
class Case:
    """What the checks look at.

    Attributes:
        model: A causal language model of transformers.
        tokenizer: Its fast tokenizer.
        facts: A few facts, each with old and new answer.
        site: Name of the edit site, if structure does not tell.
        seed: Of everything random.
    """

    model: Any
    tokenizer: Any
    facts: Sequence[Fact]
    site: str | None = None
    seed: int = 0

    @property
    def sites(self) -> list[EditSite]:
        """The edit sites of all layers."""
        return find_sites(self.model, self.site)

    @property
    def two(self) -> list[EditSite]:
        """Two sites to look at: at a third and at two thirds of the depth."""
        sites = self.sites
        n = len(sites)
        return [sites[i] for i in sorted({n // 3, min(2 * n // 3, max(0, n - 2))})]

    @property
    def not_editable(self) -> str | None:
        """Why the weights cannot be edited: quantised, offloaded; None if they can."""
        try:
            for site in self.two:
                weight_of(self.model, site.name)
        except SiteError as error:
            return str(error)
        if any(p.is_meta for p in self.model.parameters()):
            return "some of the weights are offloaded: the model cannot be told from an edited one"
        return None

    @property
    def tolerance(self) -> float:
        """Relative error that a fast path may have."""
        return TOLERANCE.get(self.model.dtype, TOLERANCE[torch.bfloat16])

    def judged(self, error: float, what: str, tolerance: float | None = None) -> Found:
        """Return whether an error is within the tolerance."""
        allowed = self.tolerance if tolerance is None else tolerance
        status = HOLDS if error <= allowed else FAILS  # NaN fails
        return Found(status, f"{what}: off by {error:.1e}, allowed {allowed:.0e}", error, allowed)


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest deviation over the largest size of what is expected."""
    found, expected = found.double().cpu(), expected.double().cpu()
    size = float(expected.abs().max())
    apart = float((found - expected).abs().max())
    return apart / size if size > 0 else apart
