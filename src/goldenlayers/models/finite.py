"""A model that gives no numbers: which of its weights are at fault, and what to do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goldenlayers.errors import ModelError

NAMED = 3  # weights that a message names
CHUNK = 1 << 24  # numbers looked at together, so that no mask of a whole weight is made


def not_finite(model: Any) -> ModelError:
    """Return the error for a model whose logits are NaN or infinite.

    Args:
        model: The model; all its weights are looked at.
    """
    counts = {name: _count(p) for name, p in model.named_parameters()}
    bad = [f"{name} ({count:,} of them)" for name, count in counts.items() if count]
    if bad:
        more = f", and {len(bad) - NAMED} more weights" if len(bad) > NAMED else ""
        return ModelError(
            f"the model's weights hold NaN or infinity: {', '.join(bad[:NAMED])}{more}; every "
            "answer of such a model is NaN, so no layer can be chosen. Load a sound copy, or take "
            "off the edit that broke it"
        )
    return ModelError(
        f"the model's logits are NaN or infinite in {str(model.dtype).removeprefix('torch.')}, "
        "though its weights are not: numbers in between overflow; load it in a wider dtype "
        "(--dtype float32 or bfloat16)"
    )


def _count(weight: Tensor) -> int:
    if weight.device.type == "meta" or not weight.is_floating_point():
        return 0  # not loaded, or quantised
    flat = weight.detach().reshape(-1)
    parts = flat.split(CHUNK) if len(flat) else ()
    return sum(int((~torch.isfinite(part)).sum()) for part in parts)
