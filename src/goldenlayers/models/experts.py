"""Mixture-of-experts models are recognised and refused.

Their MLP is many sets of weights, and each sees a part of the tokens only: there is no one edit
site per layer, and the sum over tokens that the gradient products rely on would mix experts.
"""

from __future__ import annotations

import re

from torch import nn

from goldenlayers.errors import SiteError

EXPERTS = re.compile(r"(^|\.)(experts?|shared_experts?|router|moe)(\.|$)", re.IGNORECASE)


def refuse_mixture_of_experts(model: nn.Module, prefix: str, blocks: nn.ModuleList) -> None:
    """Raise `SiteError` if any block routes tokens to experts."""
    for i, block in enumerate(blocks):
        names = [name for name, _ in block.named_modules() if EXPERTS.search(name)]
        names += [name for name, _ in block.named_parameters() if EXPERTS.search(name)]
        if names:
            raise SiteError(
                f"{type(model).__name__} is a mixture of experts ({prefix}.{i}.{names[0]}): its "
                "MLP is many sets of weights that each see a part of the tokens, so a layer has no "
                "single edit site. Such models are not supported; choose a dense model"
            )
