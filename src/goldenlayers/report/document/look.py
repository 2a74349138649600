"""Colours, marks and numbers, the same in every drawing.

Colours are from Okabe and Ito's palette, which the colour-blind can tell apart; marks, dashes and
hatches differ too. Gold means the golden layer, and nothing else is gold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from goldenlayers.report.document.plots import Format, Number, Role
from goldenlayers.report.plot import BLUE, GOLD, GREY, INK, SKY

GRID, PAPER, SOFT, EMPTY = "#E4E4E4", "#FFFFFF", "#5A5F66", "#EDEDED"
# Of the white page to those of the dark one. Drawings are made for the first; the page swaps.
_TWINS = {
    INK: "#E8E6E3",
    GRID: "#33383E",
    PAPER: "#15181B",
    SOFT: "#A3A9B0",
    EMPTY: "#24282C",
    GREY: "#7B8188",
    BLUE: "#4BA3DB",
    "#B0619A": "#CC79A7",
}
# Equal steps of lightness (CIELAB, from 96 to 14) of one hue: dark is much, in grey too.
SCALE = ("#E6F6FE", "#A4DFFC", "#6CC4F1", "#2FA9E1", "#008DCC", "#0072B1", "#005791", "#003D6C",
         "#012544")  # fmt: skip
DARK = _TWINS | dict(zip(SCALE, SCALE[::-1], strict=True))


@dataclass(frozen=True)
class Look:
    """How a role is drawn.

    Attributes:
        colour: Of the line, the mark, the bar.
        marker: For matplotlib.
        symbol: The same for plotly.
        hatch: Of bars, for matplotlib; "" for none.
        pattern: The same for plotly.
        dash: Of the line, for matplotlib.
        stroke: The same for plotly.
    """

    colour: str
    marker: str
    symbol: str
    hatch: str = ""
    pattern: str = ""
    dash: str = "-"
    stroke: str = "solid"


LOOKS: dict[Role, Look] = {
    "golden": Look(GOLD, "*", "star"),
    "chosen": Look(BLUE, "D", "diamond"),
    "other": Look(SKY, "o", "circle"),
    "muted": Look(GREY, "X", "x", "///", "/", ":", "dot"),
    "first": Look(BLUE, "o", "circle"),
    "second": Look("#D55E00", "s", "square", "///", "/", "--", "dash"),
    "third": Look("#009E73", "^", "triangle-up", "\\\\\\", "\\", "-.", "dashdot"),
    "fourth": Look("#B0619A", "v", "triangle-down", "...", ".", ":", "dot"),
    "fifth": Look("#56B4E9", "P", "cross", "xxx", "x", "--", "longdash"),
}
LARGER = {"golden": 1.9, "chosen": 1.25}
"""How much larger the marks are that a reader looks for."""

_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def factor(format: Format) -> float:
    """Return by what values are multiplied before they are drawn."""
    return 100.0 if format in ("percent", "points") else 1.0


def drawn(value: Number, format: Format, log: bool = False) -> float | None:
    """Return a value as it is drawn; None if it cannot be: none, not finite, no logarithm."""
    if value is None or not math.isfinite(value) or (log and value <= 0):
        return None
    return float(value) * factor(format)


def written(value: object, format: Format = "number") -> str:
    """Return a cell or a value as people read it.

    None and NaN are a dash. Text stays as it is.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if math.isnan(value):
            return "–"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        return _number(value, format).replace("-", "−")
    return "–" if value is None else str(value)


def _number(value: float, format: Format) -> str:
    if format == "percent":
        return f"{value:.1%}"
    if format == "points":
        text = f"{100 * value:+.1f}"
        return "0.0" if text[1:] == "0.0" else text
    if format == "seconds":
        return _seconds(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**12 else f"{value:.3g}"
    size = abs(value)
    if value == 0 or 1e-3 <= size < 1e3:
        return f"{value:.3g}"
    return f"{value:.0f}" if 1e3 <= size < 1e6 else f"{value:.2e}"


def _seconds(value: float) -> str:
    for size, unit in _TIMES:
        if abs(value) >= 2 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} s" if abs(value) >= 1 or value == 0 else f"{1000 * value:.3g} ms"
