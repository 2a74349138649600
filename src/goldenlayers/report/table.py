"""The table of a ranking for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, TypeGuard

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from goldenlayers.locators.ranking import LayerRanking, LayerScore

RUNNERS_UP = 4
BAR = 12
HEADINGS = {"standard_error": "± s.e.", "lga_rank": "LGA's rank"}
COUNTS = ("lga_rank", "facts", "edits")  # whole numbers
Justify = Literal["left", "right"]
Cell = str | Text
# heading, justification, and what stands in the column for a layer
Column = tuple[str, Justify, "Callable[[LayerScore], Cell]"]


def ranking_table(ranking: LayerRanking) -> Table:
    """Return the layers as a table, shallow first, the golden layer and the runners-up marked."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    columns = list(_columns(ranking))
    for name, justify, _ in columns:
        table.add_column(name, justify=justify, no_wrap=True)
    for s in ranking.layers:
        style = "bold yellow" if s.rank == 1 else "" if s.rank else "dim"
        table.add_row(*(cell(s) for _, _, cell in columns), style=style)
    return table


def _columns(ranking: LayerRanking) -> Iterator[Column]:
    """Yield the columns that the method has something to say in."""
    scale = max((abs(s.score or 0.0) for s in ranking.layers if s.rank), default=1.0) or 1.0
    shares = set(ranking.shares)

    def number(name: str, value: float | None) -> str:
        if name in COUNTS and is_there(value):
            return f"{value:.0f}"
        return percent(value) if name in shares else _number(value)

    yield "layer", "right", lambda s: str(s.layer)
    yield "", "left", _mark
    yield "score", "right", lambda s: number("score", s.score)
    yield "", "left", lambda s: _bar(s, scale)
    if ranking.fences is not None or any(not s.reached for s in ranking.layers):
        yield "fences", "left", _fences
    if any(s.mean_cosine is not None for s in ranking.layers):
        # mean over the facts, as are the norms
        yield "cosine", "right", lambda s: f"{c:+.3f}" if is_there(c := s.mean_cosine) else "–"
        yield "|g old|", "right", lambda s: _number(s.old_norm)
        yield "|g new|", "right", lambda s: _number(s.new_norm)

    def further(name: str) -> Callable[[LayerScore], Cell]:
        return lambda s: number(name, s.more.get(name))

    for name in dict.fromkeys(name for s in ranking.layers for name in s.more):
        yield HEADINGS.get(name) or name.replace("_", " "), "right", further(name)
    if any(s.stability is not None for s in ranking.layers):
        yield "stability", "right", _stability


def percent(value: float | None) -> str:
    """Return a share of one as percent, to a tenth; a dash for none."""
    return f"{100 * value:.1f}" if is_there(value) else "–"


def is_there(value: float | None) -> TypeGuard[float]:
    """Return whether there is a number to show: neither None nor the NaN that arrays have."""
    return value is not None and not math.isnan(value)


def _stability(score: LayerScore) -> str:
    if score.stability is None:
        return "–"
    return f"{score.stability:.0%}" if score.stability else "·"


def _mark(score: LayerScore) -> Text:
    if score.rank == 1:
        return Text("★ golden")
    if score.rank and score.rank <= 1 + RUNNERS_UP:
        return Text(f"  #{score.rank}")
    return Text("")


def _bar(score: LayerScore, scale: float) -> Text:
    if not is_there(score.score):
        return Text("")
    share = abs(score.score) / scale
    length = min(BAR, round(share * BAR))
    if score.rank is None and share > 1:
        return Text("█" * (BAR - 1) + "▶")  # longer than the picture
    return Text(("-" if score.score < 0 else "") + "█" * length)


def _fences(score: LayerScore) -> str:
    if not score.reached:
        return "unreached"
    return "in" if score.inside_fences else f"{score.side}"


def _number(value: float | None) -> str:
    if not is_there(value):
        return "–"
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.2f}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.1e}"
