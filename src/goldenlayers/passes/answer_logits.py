"""Logits at chosen positions only.

An output head of 49,152 (or 262,144) words is the largest matrix of a small model; at prompt
positions its work is thrown away. `logits_to_keep` of transformers takes one index set for all
rows, answers of different facts stand at different places, so the head's input is gathered instead.
The model's own code runs after the head as always (soft caps and scales act on single logits).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class Gathered:
    """Picks the logits of the chosen positions out of a model's output, see `answer_logits`."""

    def __init__(self, rows: Tensor, columns: Tensor):
        self.rows = rows
        self.columns = columns
        self.head_saw_all = True

    def gather_input(self, head: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Forward pre-hook of the head: (R, T, d) -> (1, N, d)."""
        hidden = args[0] if args else None
        if not isinstance(hidden, Tensor) or hidden.dim() != 3:
            return None
        self.head_saw_all = False
        return (hidden[self.rows, self.columns].unsqueeze(0), *args[1:])

    def pick(self, logits: Tensor) -> Tensor:
        """Return the logits of the chosen positions, (N, V)."""
        if self.head_saw_all:  # a model that does not call its head as a module
            return logits[self.rows, self.columns]
        return logits[0]


@contextmanager
def answer_logits(model: Any, rows: Tensor, columns: Tensor) -> Iterator[Gathered]:
    """While open, a forward pass of `model` computes logits for the named positions alone.

    Args:
        model: A causal language model of transformers.
        rows: (N,) int64, row of each position in the batch.
        columns: (N,) int64, its column.

    Yields:
        An object whose `pick(output.logits)` is (N, V).
    """
    gathered = Gathered(rows, columns)
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    handle = head.register_forward_pre_hook(gathered.gather_input) if head is not None else None
    try:
        yield gathered
    finally:
        if handle is not None:
            handle.remove()
