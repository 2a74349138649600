"""How long work tells its caller how far it is."""

from __future__ import annotations

from collections.abc import Callable

# Called with a stage ("old answers", "gradients"), the number of items done, and their total.
Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


# Called with a line when something is worth knowing.
Say = Callable[[str], None]


def quiet(line: str) -> None:
    """Tell nothing."""
