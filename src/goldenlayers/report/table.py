"""The table of a ranking for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from goldenlayers.locators.ranking import LayerRanking, LayerScore

RUNNERS_UP = 4
BAR = 12
COLUMNS: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("layer", "right"),
    ("", "left"),
    ("score", "right"),
    ("", "left"),
    ("fences", "left"),
    ("cosine", "right"),  # mean over the facts, as are the norms
    ("|g old|", "right"),
    ("|g new|", "right"),
    ("stability", "right"),
)


def ranking_table(ranking: LayerRanking) -> Table:
    """Return the layers as a table, shallow first, the golden layer and the runners-up marked."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name, justify in COLUMNS:
        table.add_column(name, justify=justify, no_wrap=True)
    scale = max((abs(s.score or 0.0) for s in ranking.layers if s.rank), default=1.0) or 1.0
    for s in ranking.layers:
        style = "bold yellow" if s.rank == 1 else "" if s.rank else "dim"
        table.add_row(
            str(s.layer),
            _mark(s),
            _number(s.score),
            _bar(s, scale),
            _fences(s),
            "–" if s.mean_cosine is None else f"{s.mean_cosine:+.3f}",
            _number(s.old_norm),
            _number(s.new_norm),
            "–" if s.stability is None else f"{s.stability:.0%}" if s.stability else "·",
            style=style,
        )
    return table


def _mark(score: LayerScore) -> Text:
    if score.rank == 1:
        return Text("★ golden")
    if score.rank and score.rank <= 1 + RUNNERS_UP:
        return Text(f"  #{score.rank}")
    return Text("")


def _bar(score: LayerScore, scale: float) -> Text:
    if score.score is None:
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
    if value is None:
        return "–"
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.2f}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.1e}"
