"""Text that is not ours, made fit for a terminal."""

from __future__ import annotations

import re

# Control characters, halves of a surrogate pair (no file can hold them) and what turns the
# direction of all that follows. Joiners stay: Persian, Hindi and emoji need them.
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufeff]")


def printable(text: str) -> str:
    """Return text with its control characters spelt out, so that none of them acts.

    Markup stays as it is: for rich markup, escape what is returned, or make a `rich.text.Text`.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def spelt(text: str) -> str:
    """Return text whose acting characters are spelt out; lines and tabs stay."""
    return ACTING.sub(lambda found: repr(found[0])[1:-1], text)
