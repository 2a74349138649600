"""Text that is not ours, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text with its control characters spelt out, so that none of them acts.

    Markup stays as it is: for rich markup, escape what is returned, or make a `rich.text.Text`.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
