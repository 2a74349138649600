"""What a text source is given to make windows from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldenlayers.covariance.windows import Window


@dataclass(frozen=True)
class TextRequest:
    """The windows that are wanted, and from which model.

    Attributes:
        model: The model, frozen and in evaluation mode.
        tokenizer: Its tokenizer.
        model_key: Which model this is, by content; see `goldenlayers.covariance.key.model_key`.
        length: Most tokens in a window.
        tokens: Tokens wanted in all; a source need not make more.
        begin: Tokens that each window begins with.
        folder: Where a source may keep what was dear to make, or None.
        progress: Called with the number of windows made and their total, where making them is slow.
    """

    model: Any
    tokenizer: Any
    model_key: Mapping[str, Any]
    length: int
    tokens: int
    begin: Window = ()
    folder: Path | None = None
    progress: Callable[[int, int], None] = field(default=lambda done, total: None)
