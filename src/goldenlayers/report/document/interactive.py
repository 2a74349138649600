"""Figures for the page: what plotly draws, as plain values, without plotly.

Every name is escaped, and what is shown over a mark is text that was written here: plotly's own
templates would read a user's "%{...}" as a field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goldenlayers.report.document.interactive_axes import along, ends, frame, narrow, upwards
from goldenlayers.report.document.interactive_heat import heat_figure
from goldenlayers.report.document.labels import place
from goldenlayers.report.document.look import LARGER, LOOKS, PAPER, SOFT, drawn, written
from goldenlayers.report.document.places import (
    Places,
    across,
    extremes,
    legend_names,
    marked,
    places,
    reach,
    unseen,
    upright,
)
from goldenlayers.report.document.plots import Axis, Bars, Heat, Lines, Plot, Scatter, Series
from goldenlayers.report.document.text import for_plotly, over_plotly, shortened
from goldenlayers.report.plot import INK

HEIGHT = 400
_FRAME = (760.0, 300.0)  # about what the axes of a wide page measure, in pixels
_NARROW = (250.0, 280.0)
_SIDES = {"right": "middle right", "left": "middle left", "top": "top center",
          "bottom": "bottom center"}  # fmt: skip


def draw_interactive(plot: Plot) -> dict[str, Any]:
    """Return a plot for plotly.

    Args:
        plot: What is drawn.

    Returns:
        "data" and "layout", ready for JSON, in the colours of a white page (`look.DARK` tells those
        of a dark one). The height is fixed, the width is left to the page. `meta["narrow"]` of a
        trace, and of the layout by axis, holds what is other on a phone.
    """
    if isinstance(plot, Heat):
        return heat_figure(plot)
    lines = plot.lines if isinstance(plot, Bars) else ()
    second = plot.second if isinstance(plot, Bars) else None
    x = places((*plot.series, *lines), plot.x)
    bars = isinstance(plot, Bars)
    if isinstance(plot, Bars):
        data = [trace for i in range(len(plot.series)) for trace in _bars(plot, x, i)]
        for one in lines:
            trace = _line(one, x, second or plot.y, not x.names)
            data.append(trace | ({"yaxis": "y2"} if second else {}))
    else:
        data = [_line(one, x, plot.y, isinstance(plot, Lines)) for one in plot.series]
        _place_labels(plot, x, data)
    names = legend_names(plot)
    for trace, name in zip(data[len(data) - len(lines) :], names[len(plot.series) :], strict=True):
        trace["name"] = for_plotly(shortened(name, 60))
    data += [
        _key(LOOKS[role].symbol, LOOKS[role].colour, name, bars) for role, name in marked(plot)
    ]
    shown = [*plot.series, *(() if second else lines)]
    layout = frame() | {
        "height": HEIGHT,
        "showlegend": sum(trace.get("showlegend", True) for trace in data) > 1,
        "barmode": "group",
        "bargap": 0.18,
        "bargroupgap": 0.04,
        "xaxis": along(x, bars, isinstance(plot, Scatter)),
        "yaxis": upwards(plot.y, extremes(shown, plot.y), bars),
    }
    if second:
        layout["yaxis2"] = upwards(second, extremes(lines, second), False) | {
            "overlaying": "y", "side": "right", "showgrid": False,
        }  # fmt: skip
    layout["annotations"] = _remarks(plot, shown)
    layout["meta"] = {"narrow": {"xaxis": narrow(x)}}
    return {"data": data, "layout": layout}


def _bars(plot: Bars, x: Places, i: int) -> list[dict[str, Any]]:
    """Return a trace for a series, and one for each role that single values of it have."""
    one = plot.series[i]
    roles = [one.marks.get(k, one.role) for k in range(len(one.x))]
    hover = _hover(one, x, plot.y, len(plot.series) + len(plot.lines) > 1)
    errors = _errors(one, plot.y, INK)
    traces = []
    for role in dict.fromkeys((one.role, *roles)):
        look = LOOKS[role]
        heights = [
            drawn(v, plot.y.format, plot.y.log) if own == role else None
            for v, own in zip(one.y, roles, strict=True)
        ]
        trace: dict[str, Any] = {
            "type": "bar",
            "name": for_plotly(shortened(one.name, 60)),
            "showlegend": role == one.role,
            "offsetgroup": str(i),
            "x": [x.at(v) for v in one.x],
            "y": heights,
            "marker": {
                "color": look.colour,
                "line": {"width": 1.2 if role == "golden" else 0, "color": INK},
                "pattern": {
                    "shape": "/" if one.dashed else look.pattern or LOOKS[one.role].pattern,
                    "fgcolor": PAPER,
                    "fillmode": "overlay",
                    "size": 7,
                    "solidity": 0.22,
                },
            },
            "hoverinfo": "text",
            "hovertext": hover,
        }
        if any(one.labels):
            if len(one.x) * len(plot.series) > 10:
                trace["meta"] = {"narrow": {"textposition": "none"}}
            trace |= {
                "text": [for_plotly(shortened(label, 20)) for label in one.labels],
                "textposition": "outside",
                "cliponaxis": False,
                "textangle": -90 if upright(plot.series, x) else 0,
                "textfont": {"size": 11, "color": INK},
            }
        traces.append(trace | errors)
    return traces


def _line(one: Series, x: Places, y: Axis, joined: bool) -> dict[str, Any]:
    own = LOOKS[one.role]
    looks = [LOOKS[one.marks.get(k, one.role)] for k in range(len(one.x))]
    roles = [one.marks.get(k, one.role) for k in range(len(one.x))]
    size = 8 if joined else 10
    at = [x.at(v) for v in one.x]
    heights = [drawn(v, y.format, y.log) for v in one.y]
    trace: dict[str, Any] = {
        "type": "scatter",
        "name": for_plotly(shortened(one.name, 60)),
        "mode": "lines+markers" if joined else "markers",
        "x": at,
        "y": [None if a is None else h for a, h in zip(at, heights, strict=True)],
        "line": {"color": own.colour, "width": 2, "dash": "dash" if one.dashed else own.stroke},
        "marker": {
            "color": [look.colour for look in looks],
            "symbol": [f"{look.symbol}-open" if one.dashed and look is own else look.symbol
                       for look in looks],
            "size": [size * LARGER.get(role, 1.0) for role in roles],
            "opacity": 1,
            "line": {"width": [1.5 if one.dashed and look is own else 0.8 for look in looks],
                     "color": [INK if role in LARGER else look.colour if one.dashed else PAPER
                               for role, look in zip(roles, looks, strict=True)]},
        },
        "connectgaps": False,
        "cliponaxis": False,
        "hoverinfo": "text",
        "hovertext": _hover(one, x, y, True),
    }  # fmt: skip
    if len(at) > 16:  # on a phone marks of that size would be a band
        small = trace["marker"] | {"size": [0.6 * v for v in trace["marker"]["size"]]}
        trace["meta"] = {"narrow": {"marker": small}}
    return trace | _errors(one, y, own.colour)


def _errors(one: Series, y: Axis, colour: str) -> dict[str, Any]:
    if not any(one.error):
        return {}
    sizes = [drawn(v, y.format) or 0.0 for v in one.error]
    return {
        "error_y": {"type": "data", "array": sizes, "color": colour, "thickness": 1.1, "width": 0}
    }


def _hover(one: Series, x: Places, y: Axis, named: bool) -> list[str]:
    texts = []
    for k, (place_, value) in enumerate(zip(one.x, one.y, strict=True)):
        where = place_ if isinstance(place_, str) else written(place_, x.axis.format)
        title = "" if isinstance(place_, str) else f"{for_plotly(x.axis.title)} "
        error = one.error[k] if k < len(one.error) else None
        about = "" if error is None else f" ± {written(error, y.format).lstrip('+')}"
        label = one.labels[k] if k < len(one.labels) else ""
        lines = [f"<b>{title}{over_plotly(where)}</b>"]
        if label and label != where:
            lines.append(over_plotly(label))
        name = over_plotly(one.name, 80) if named else for_plotly(y.title)
        lines.append(f"{name}: {written(value, y.format)}{about}")
        role = one.marks.get(k, one.role)
        if role in LARGER and role != one.name:
            lines.append("golden layer" if role == "golden" else role)
        texts.append("<br>".join(lines))
    return texts


def _key(symbol: str, colour: str, name: str, bars: bool) -> dict[str, Any]:
    """Return a trace without points, for the legend alone."""
    return {
        "type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": name,
        "hoverinfo": "skip",
        "marker": {"symbol": "square" if bars else symbol, "color": colour, "size": 12,
                   "line": {"width": 1, "color": INK}},
    }  # fmt: skip


def _remarks(plot: Bars | Lines | Scatter, shown: Sequence[Series]) -> list[dict[str, Any]]:
    style = {
        "showarrow": False,
        "xref": "paper",
        "yref": "paper",
        "font": {"color": SOFT, "size": 11},
    }
    remarks = []
    if not any(drawn(v, plot.y.format, plot.y.log) is not None for one in shown for v in one.y):
        remarks.append(style | {"x": 0.5, "y": 0.5, "text": "no values"})
    hidden = sum(unseen(one.y, plot.y) for one in shown) + sum(
        unseen([v for v in one.x if not isinstance(v, str)], plot.x) for one in plot.series
    )
    if hidden:
        text = f"not on a logarithmic axis: {hidden} at or below zero"
        remarks.append(
            style | {"x": 1, "y": 1, "xanchor": "right", "yanchor": "bottom", "text": text}
        )
    return remarks


def _place_labels(plot: Lines | Scatter, x: Places, data: list[dict[str, Any]]) -> None:
    """Write labels where they hide least, on a wide page and on a phone."""
    left, right = ends(across(x, False), x.axis.log)
    values = extremes(plot.series, plot.y)
    bottom, top = ends(reach(values, plot.y), plot.y.log)
    spots: list[tuple[int, int, float, float, str]] = []
    for i, one in enumerate(plot.series):
        for k, label in enumerate(one.labels[: len(one.x)]):
            at, height = data[i]["x"][k], data[i]["y"][k]
            if label and at is not None and height is not None:
                ((h,), (v,)) = (ends((n, n), log)[:1] for n, log in
                                ((at, x.axis.log), (height, plot.y.log)))  # fmt: skip
                spots.append((i, k, (h - left) / (right - left), (v - bottom) / (top - bottom),
                              shortened(label, 32)))  # fmt: skip
    for name, (wide, high) in (("wide", _FRAME), ("narrow", _NARROW)):
        points = [(s[2] * wide, s[3] * high) for s in spots]
        sides = place(points, [s[4] for s in spots], (0, 0, wide, high), 11.5)
        for (i, k, _, _, text), side in zip(spots, sides, strict=True):
            trace, n = data[i], len(plot.series[i].x)
            where = trace
            if name == "narrow":
                where = trace.setdefault("meta", {}).setdefault("narrow", {})
            where.setdefault("text", [""] * n)[k] = "" if side is None else for_plotly(text)
            where.setdefault("textposition", ["middle right"] * n)[k] = _SIDES[side or "right"]
    for trace in data:
        if "text" in trace:
            trace["mode"] += "+text"
            trace["textfont"] = {"size": 11.5, "color": INK}
