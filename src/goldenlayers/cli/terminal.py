"""A console on which no text acts but ours.

Identifiers, prompts, names of models and what a model says are other people's. Rich's markup is
escaped where they are put into a line; what a terminal itself obeys is taken care of here, for
everything that is printed: an escape sequence could rewrite what stands there, or the window's
title, and a mark of direction could turn a path around.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from goldenlayers.report.printable import ACTING, spelt


class PlainConsole(Console):
    """A console of rich that spells out acting characters, at any depth of tables."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of anything that can be printed."""
        for segment in super().render(renderable, options):
            # what moves the cursor on purpose, for a spinner or a bar, says so
            if segment.control or not ACTING.search(segment.text):
                yield segment
            else:
                yield Segment(spelt(segment.text), segment.style)


def for_machines(data: Any, *, nan: bool = True) -> str:
    """Return data as JSON text, readable letters as they are, acting characters as escapes.

    Args:
        data: What JSON can hold.
        nan: Whether a number may be none, against the standard.

    Raises:
        ValueError: If one is, and may not be.
    """
    text = json.dumps(data, ensure_ascii=False, indent=1, allow_nan=nan)
    return ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
