"""What is fed to a model after it has given a token: that token, or the text so far once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def next_input(output: Any, ids: Tensor, tokens: Sequence[int]) -> tuple[Tensor, Any]:
    """Return the next input and the cache that goes with it.

    Recurrent models (Mamba) keep a state of another kind, or none: they are fed everything again,
    which is slow and right.

    Args:
        output: What the model returned.
        ids: (B, T) what it was fed.
        tokens: The B tokens that were chosen.

    Returns:
        (B, 1) and keys and values; or (B, T + 1) and None.
    """
    new = torch.tensor(tokens, device=ids.device).unsqueeze(1)  # (B, 1)
    cache = getattr(output, "past_key_values", None)
    return (new, cache) if cache is not None else (torch.cat([ids, new], dim=1), None)
