"""FT-L and FT-M: fine-tuning of one weight, all its numbers free.

The baselines that every editor is compared with. FT-L is the FT of ROME (arXiv 2202.05262, appendix
on baselines, and its code), with a bound on the change its FT+L (after Zhu et al., arXiv
2012.00363); FT-M is EasyEdit's (KnowEdit, arXiv 2401.01286). The settings' defaults are those of
EasyEdit's file for LLaMA-2-7B, but for the layer (21 there), which is the caller's to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from goldenlayers.editors.fact_batch import FactBatch
from goldenlayers.editors.numbers import require_number
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.trained import TrainedEditor, Training
from goldenlayers.editors.weights import weight_of
from goldenlayers.models.sites import EditSite


@dataclass(frozen=True)
class FTM(TrainedEditor):
    """FT-M: each answer token is predicted from the prompt and the answer before it.

    The loss of a fact is the mean over its answer's tokens of -log p(token | prompt, tokens before
    it). A copy of the weight is trained, in float32 or wider, and rounded to the model's dtype in
    each run, so that what is trained is what will be applied. Settings as `TrainedEditor`, and:

    Attributes:
        norm_bound: No number of the weight may change by more than this; clamped after each update,
            in float32 or wider (half precision rounds the edited weight afterwards). None for no
            bound; ROME's FT+L has 5e-5 to 2e-4.
    """

    norm_bound: float | None = None

    name: ClassVar[str] = "ft-m"

    def __post_init__(self) -> None:
        if self.norm_bound is not None:
            require_number("norm_bound", self.norm_bound, above_zero=True)
        super().__post_init__()

    def train(
        self, request: EditRequest, site: EditSite, batches: Sequence[FactBatch]
    ) -> tuple[Tensor, Tensor, Training]:
        """Train a copy of the weight; see `TrainedEditor.train`."""
        weight = weight_of(request.model, site.name).detach()
        # as it is stored: (d_out, d_in), or (d_in, d_out) where it is transposed
        base = weight.to(torch.promote_types(weight.dtype, torch.float32))
        trained = base.clone().requires_grad_()
        bias = getattr(request.model.get_submodule(site.name), "bias", None)

        def run(inputs: Tensor, output: Tensor) -> Tensor:
            W = trained.to(inputs.dtype)
            return linear(inputs, W.T if site.transposed else W, bias)

        def bound() -> None:
            if self.norm_bound is not None:
                trained.clamp_(base - self.norm_bound, base + self.norm_bound)

        went = self.fit(
            [trained],
            batches,
            request,
            norm=lambda: size(trained.detach() - base),
            change=run,
            after_update=bound,
        )
        change = trained.detach() - base
        return (*exact_factors(change.T if site.transposed else change), went)


@dataclass(frozen=True)
class FTL(FTM):
    """FT-L: all answer tokens are predicted from the prompt's last position.

    The loss of a fact is the mean over its answer's tokens of -log p(token | prompt), each read at
    the prompt's last position. This is as published, in ROME's code and as EasyEdit's
    "prompt_last", and an odd aim: for an answer of one token it is FT-M's, but for a longer one it
    asks the same position for several tokens at once, so that the loss of n different tokens cannot
    fall below ln n and the answer's later tokens are never seen where they stand. So the training
    rarely stops early, and a long answer may be "not converged" although its loss is as low as it
    can be. (Tokens are those of prompt and answer written together, where the published code
    tokenises the answer apart.) Settings as `FTM`.
    """

    name: ClassVar[str] = "ft-l"
    prompt_end: ClassVar[bool] = True


def size(change: Tensor) -> float:
    """Return the Frobenius norm, summed in float64."""
    return float(torch.linalg.vector_norm(change, dtype=torch.float64))


def exact_factors(change: Tensor) -> tuple[Tensor, Tensor]:
    """Write a full matrix as left @ right.T, exactly: an identity on the narrower side.

    Args:
        change: (d_out, d_in), of any rank.

    Returns:
        (d_out, r) and (d_in, r) with r = min(d_out, d_in), in the dtype and on the device of
        `change`.
    """
    d_out, d_in = change.shape
    if d_out <= d_in:
        return torch.eye(d_out).to(change), change.T.contiguous()
    return change.contiguous(), torch.eye(d_in).to(change)
