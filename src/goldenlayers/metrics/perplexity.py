"""Perplexity on a fixed text: does an edited model still know how to write?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from goldenlayers.errors import SettingsError
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import context_length

FIXED = "fixed"
PLACE = Path(__file__).with_name("fixed_text.txt")
WINDOW = 512  # tokens; the longest that is fed at once


def read_text(name: str) -> str:
    """Return the text that a setting names.

    Args:
        name: "fixed" for the text that comes with golden-layers, seven paragraphs of plain prose
            written for it; or the path of a UTF-8 text file.

    Raises:
        SettingsError: If the file cannot be read, or holds no text.
    """
    path = PLACE if name == FIXED else Path(name)
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"text {name!r}: {reason}; expected 'fixed' or a file of UTF-8 text"
        ) from error
    if not text:
        raise SettingsError(f"text {name!r}: holds no text")
    return text


@dataclass(frozen=True)
class Reading:
    """What a model thinks of a text.

    Attributes:
        perplexity: exp of the mean negative log-likelihood of the tokens; infinity if the model's
            numbers are not finite or their mean is too large.
        next_tokens: The most likely next token at each position that has one.
    """

    perplexity: float
    next_tokens: tuple[int, ...]

    def agreement(self, other: Reading) -> float:
        """Return the share of positions at which both readings have the same next token.

        Raises:
            SettingsError: If they are of different texts.
        """
        mine, theirs = self.next_tokens, other.next_tokens
        if len(mine) != len(theirs):
            raise SettingsError(
                f"readings of {len(mine)} and of {len(theirs)} tokens; expected the same text"
            )
        return sum(a == b for a, b in zip(mine, theirs, strict=True)) / len(mine)


@torch.no_grad()
def read_with(model: Any, tokenizer: Any, text: str) -> Reading:
    """Let a model read a text, each token predicted from those before it.

    The text is fed in windows of `WINDOW` tokens, or of the model's context where that is shorter.
    The first token of a window is not predicted; nothing is predicted twice.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its tokenizer.
        text: The text.

    Raises:
        SettingsError: If the text has fewer than two tokens.
    """
    ids = tokenizer(text, verbose=False)["input_ids"]
    length = min(WINDOW, context_length(model) or WINDOW)
    windows = [ids[i : i + length] for i in range(0, len(ids), length)]
    windows = [w for w in windows if len(w) > 1]
    if not windows:
        raise SettingsError(f"the text has {len(ids)} tokens; expected two or more")
    total = 0.0
    likeliest: list[int] = []
    with untouched(model):
        for window in windows:
            fed = torch.tensor([window], device=model.device)  # (1, T)
            logits = model(input_ids=fed, use_cache=False).logits[0, :-1]  # (T - 1, V)
            wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
            total += float(cross_entropy(wide, fed[0, 1:].to(wide.device), reduction="sum"))
            likeliest += wide.argmax(-1).tolist()
    try:
        found = math.exp(total / len(likeliest))
    except OverflowError:
        found = math.inf
    return Reading(math.inf if math.isnan(found) else found, tuple(likeliest))


def perplexity(model: Any, tokenizer: Any, text: str) -> float:
    """Return a model's perplexity on a text; see `read_with`."""
    return read_with(model, tokenizer, text).perplexity
