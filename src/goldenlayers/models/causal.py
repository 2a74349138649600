"""A model whose earlier positions see later tokens cannot be scored: it sees the answer."""

from __future__ import annotations

from typing import Any

import torch

from goldenlayers.errors import ModelError
from goldenlayers.models.finite import not_finite


@torch.no_grad()
def require_causal(model: Any, *, finite: bool = False) -> None:
    """Change the last token of a short text and see that no earlier logit moves.

    transformers loads encoders such as BERT as "causal" models too, with full attention; nothing in
    their configuration tells them from a decoder.

    Args:
        model: The model.
        finite: Whether logits that are NaN or infinite are refused too. What chooses a layer must
            not take what comes of them for a choice; what tells how an edit broke a model may.

    Raises:
        ModelError: If earlier positions see later tokens, or the logits are not finite.
    """
    rows = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]], device=model.device)
    logits = model(input_ids=rows, use_cache=False).logits[:, :-1].float()  # (2, 3, V)
    if finite and not bool(torch.isfinite(logits).all()):
        raise not_finite(model)
    first, second = logits.nan_to_num()
    # equal but for rounding: the rows share a batch
    if (first - second).abs().max() > 1e-2 * first.abs().max().clamp_min(1e-6):
        raise ModelError(
            f"{type(model).__name__} is not a causal language model as loaded: its earlier "
            "positions see later tokens, so it would see the answer. "
            "Expected a decoder such as GPT-2 or LLaMA"
        )
