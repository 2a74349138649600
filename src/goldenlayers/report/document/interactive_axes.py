"""What all figures of the page share: fonts, margins, axes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import log10
from typing import Any

from goldenlayers.report.document.look import GRID, PAPER, SOFT
from goldenlayers.report.document.places import Places, across, log_ticks, reach
from goldenlayers.report.document.plots import Axis, Number
from goldenlayers.report.document.text import for_plotly, shortened
from goldenlayers.report.plot import INK
from goldenlayers.report.printable import printable

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def frame() -> dict[str, Any]:
    """Return what all figures share."""
    return {
        "autosize": True,
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "font": {"family": FONT,
                 "size": 12, "color": INK},
        "margin": {"l": 8, "r": 12, "t": 28, "b": 8},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": SOFT, "align": "left",
                       "font": {"color": INK, "size": 12, "family": FONT}},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yref": "container",
                   "yanchor": "bottom", "font": {"size": 12}, "itemsizing": "trace",
                   "bgcolor": PAPER},
    }  # fmt: skip


def along(x: Places, bars: bool, grid: bool) -> dict[str, Any]:
    """Return the axis along the bottom."""
    axis = _axis(x.axis) | {"range": ends(across(x, bars), x.axis.log), "showgrid": grid,
                            "showline": True, "linecolor": INK, "ticks": "outside",
                            "ticklen": 4}  # fmt: skip
    if x.names:
        texts = ["<br>".join(for_plotly(part) for part in _wrapped(n)) for n in x.names]
        return axis | {
            "tickmode": "array",
            "tickvals": list(range(len(texts))),
            "ticktext": texts,
            "ticksuffix": "",
            "ticks": "",
        }
    ticks = x.ticks(32)
    return axis if ticks is None else axis | _ticks(ticks, x.axis)


def _ticks(at: Sequence[float], axis: Axis) -> dict[str, Any]:
    sign = "%" if axis.format == "percent" else ""
    texts = [f"{v:.10g}{sign}".replace("-", "−") for v in at]
    return {"tickmode": "array", "tickvals": list(at), "ticktext": texts}


def narrow(x: Places) -> dict[str, Any]:
    """Return what is other along the bottom on a phone: fewer and shorter marks."""
    if x.names:
        short = [for_plotly(shortened(name, 16)) for name in x.names]
        return {
            "title": _title(x.axis, 36),
            "ticktext": short,
            "tickangle": -50 if sum(map(len, x.names)) > 24 else 0,
        }
    ticks = x.ticks(9)
    title = _title(x.axis, 36)
    return {"title": title} if ticks is None else {"title": title} | _ticks(ticks, x.axis)


def _wrapped(name: str) -> list[str]:
    lines = textwrap.wrap(shortened(name, 40), 16) or [""]
    return lines if len(lines) < 3 else [*lines[:1], shortened(" ".join(lines[1:]), 16)]


def upwards(y: Axis, values: Sequence[Number], bars: bool) -> dict[str, Any]:
    """Return the axis upwards, for values."""
    between = reach(values, y, bars and not y.log)
    more = _ticks(log_ticks(*between), y) if y.log else {"tickmode": "auto"}
    return (
        _axis(y)
        | more
        | {
            "title": _title(y, 44),  # what the height has room for
            "range": ends(between, y.log),
            "gridcolor": GRID,
            "zeroline": bars and not y.log,
            "zerolinecolor": INK,
            "zerolinewidth": 1,
            "ticks": "",
            "nticks": 7,
        }
    )


def _title(axis: Axis, width: int) -> dict[str, Any]:
    lines = textwrap.wrap(printable(shortened(axis.title, 3 * width)), width)
    text = "<br>".join(for_plotly(line) for line in lines)
    return {"text": text, "standoff": 10, "font": {"size": 12.5}}


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "title": _title(axis, 90),
        "type": "log" if axis.log else "linear",
        "automargin": True,
        "gridcolor": GRID,
        "zeroline": False,
        "tickfont": {"size": 11.5},
        "ticksuffix": "%" if axis.format == "percent" else "",
        "separatethousands": False,
        "exponentformat": "none",
        "fixedrange": False,
    }


def ends(between: tuple[float, float], log: bool) -> list[float]:
    """Return the ends of an axis as plotly takes them: the logarithms of a logarithmic one."""
    if not log:
        return list(between)
    return [log10(end) for end in between]
