"""Grids of colours for the page: panels stacked, one scale."""

from __future__ import annotations

from typing import Any

from goldenlayers.report.document.interactive_axes import frame
from goldenlayers.report.document.look import EMPTY, SCALE, SOFT, drawn, written
from goldenlayers.report.document.panels import Panel, limits, panels
from goldenlayers.report.document.plots import Heat, Number
from goldenlayers.report.document.text import for_plotly, over_plotly, shortened
from goldenlayers.report.plot import GOLD, INK

_TOP, _BOTTOM, _BETWEEN = 112, 66, 40  # pixels: the scale above, the columns and legend beneath


def heat_figure(heat: Heat) -> dict[str, Any]:
    """Return a heat map for plotly, as tall as its rows need."""
    parts = panels(heat)
    row = 24 if len(heat.rows) <= 40 else 18 if len(heat.rows) <= 100 else 13
    inner = row * max(1, len(heat.rows)) + _BETWEEN * (len(parts) - 1)
    inner = max(inner, 120)
    low, high = limits(heat)
    layout = frame() | {
        "height": inner + _TOP + _BOTTOM + _depth(heat),
        "plot_bgcolor": EMPTY,
        "margin": {"l": 8, "r": 12, "t": _TOP, "b": _BOTTOM + _depth(heat)},
        "coloraxis": {
            "cmin": low,
            "cmax": high,
            "colorscale": [[i / (len(SCALE) - 1), colour] for i, colour in enumerate(SCALE)],
            "colorbar": {
                "orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom",
                "xpad": 0, "ypad": 24, "len": 180, "lenmode": "pixels", "thickness": 10,
                "outlinewidth": 0, "nticks": 4, "tickfont": {"size": 11},
                "ticksuffix": "%" if heat.format == "percent" else "",
            },
        },
        "annotations": [
            {"text": for_plotly(shortened(heat.scale, 40)), "showarrow": False, "xref": "paper",
             "x": 0, "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "bottom",
             "yshift": 50, "font": {"size": 12, "color": INK}},
        ],
        "shapes": [],
    }  # fmt: skip
    data: list[dict[str, Any]] = []
    gap = _BETWEEN / inner
    height = 1 - gap * (len(parts) - 1)
    top = 1.0
    for i, part in enumerate(parts):
        share = height * (part.end - part.first) / max(1, len(heat.rows))
        domain = [max(0.0, top - share), top]
        _panel(heat, part, i, i == len(parts) - 1, domain, data, layout)
        top -= share + gap
    data += _legend(heat)
    # the legend and the title are measured from the axes: plotly puts an axis' own into the cells
    layout["legend"] |= {"yref": "paper", "y": -(36 + _depth(heat)) / inner, "yanchor": "top"}
    layout["annotations"].append(
        {"text": for_plotly(shortened(_axes(heat), 60)), "showarrow": False, "xref": "paper",
         "x": 0.5, "yref": "paper", "y": 0, "yanchor": "top", "yshift": -_depth(heat),
         "font": {"size": 12.5, "color": INK}}
    )  # fmt: skip
    layout["showlegend"] = any(trace.get("showlegend") for trace in data)
    return {"data": data, "layout": layout}


def _panel(
    heat: Heat,
    part: Panel,
    i: int,
    last: bool,
    domain: list[float],
    data: list[dict[str, Any]],
    layout: dict[str, Any],
) -> None:
    """Add a panel to the traces and the layout."""
    number = "" if i == 0 else str(i + 1)
    rows, n = part.end - part.first, len(heat.columns)
    cells = heat.values[part.first : part.end]
    here = heat.rows[part.first : part.end]
    on = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
    data.append(
        {
            "type": "heatmap", "z": [[_short(v, heat) for v in row] for row in cells],
            "x": list(range(n)), "y": list(range(rows)),
            "coloraxis": "coloraxis", "xgap": 1, "ygap": 1, "hoverongaps": True,
            "hoverinfo": "text",
            "text": [[written(v, heat.format) for v in row] for row in cells],
            # the page makes the texts over cells of these: written out they would be most of it
            "meta": {"hover": {"rows": [over_plotly(name) for name in here],
                               "columns": [over_plotly(name) for name in heat.columns],
                               "x": for_plotly(heat.x), "said": _said(heat, part)}},
        }
        | on
    )  # fmt: skip
    best = [(c, r - part.first) for r, c in sorted(heat.optimal) if part.first <= r < part.end]
    if best:
        data.append(
            {
                "type": "scatter", "mode": "markers", "x": [c for c, _ in best],
                "y": [r for _, r in best], "hoverinfo": "skip", "showlegend": False,
                "marker": {"symbol": "circle", "color": "white", "size": 7,
                           "line": {"color": "black", "width": 1.2}},
            }
            | on
        )  # fmt: skip
    for row, column in sorted(heat.golden):
        if part.first <= row < part.end:
            box = {"type": "rect", "xref": on["xaxis"], "yref": on["yaxis"], "x0": column - 0.5,
                   "x1": column + 0.5, "y0": row - part.first - 0.5,
                   "y1": row - part.first + 0.5}  # fmt: skip
            layout["shapes"] += [box | {"line": {"color": colour, "width": width}}
                                 for colour, width in (("black", 3.6), (GOLD, 2.4))]  # fmt: skip
    step = max(1, -(-n // 16))
    tick = {"automargin": True, "showgrid": False, "zeroline": False, "ticks": "",
            "tickmode": "array", "tickfont": {"size": 11}}  # fmt: skip
    layout[f"xaxis{number}"] = tick | {
        "anchor": on["yaxis"], "range": [-0.5, max(n, 1) - 0.5], "showticklabels": last,
        "tickvals": list(range(0, n, step)),
        "ticktext": [for_plotly(shortened(c, 24)) for c in heat.columns[::step]],
        "tickangle": -45 if _turned(heat) else 0,
    } | ({"matches": "x"} if i else {})  # fmt: skip
    fewer = 2 * step if n > 8 else step
    narrow = layout.setdefault("meta", {}).setdefault("narrow", {})
    narrow[f"xaxis{number}"] = {
        "tickvals": list(range(0, n, fewer)),
        "ticktext": [for_plotly(shortened(c, 12)) for c in heat.columns[::fewer]],
    }
    layout[f"yaxis{number}"] = tick | {
        "anchor": on["xaxis"], "domain": domain, "range": [max(rows, 1) - 0.5, -0.5],
        "tickvals": list(range(rows)),
        "ticktext": [for_plotly(shortened(name, 28)) for name in here],
    }  # fmt: skip
    narrow[f"yaxis{number}"] = {"ticktext": [for_plotly(shortened(name, 13)) for name in here]}
    if part.name:
        layout["annotations"].append(
            {"text": f"<b>{for_plotly(shortened(part.name, 48))}</b>", "showarrow": False,
             "xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": domain[1],
             "yanchor": "bottom", "yshift": 4, "font": {"size": 12.5, "color": INK}}
        )  # fmt: skip


def _axes(heat: Heat) -> str:
    """Return what both axes show: a name beside the rows would take the cells' room on a phone."""
    return f"{heat.x}, down: {heat.y}" if heat.y else heat.x


def _turned(heat: Heat) -> bool:
    return max((len(name) for name in heat.columns), default=0) > 4


def _depth(heat: Heat) -> int:
    """Return how many pixels the names of the columns take beneath the cells."""
    if not _turned(heat):
        return 20
    longest = max(len(shortened(name, 24)) for name in heat.columns)
    return round(16 + 4.8 * longest)


def _short(value: Number, heat: Heat) -> float | None:
    found = drawn(value, heat.format)
    return None if found is None else float(f"{found:.6g}")


def _said(heat: Heat, part: Panel) -> dict[str, str]:
    """Return what is said of single cells, by "row,column" in the panel."""
    said: dict[str, str] = {}
    for cells, words in ((heat.optimal, "optimal"), (heat.golden, "golden layer")):
        for row, column in sorted(cells):
            if part.first <= row < part.end:
                key = f"{row - part.first},{column}"
                said[key] = f"{said[key]}, {words}" if key in said else words
    return said


def _legend(heat: Heat) -> list[dict[str, Any]]:
    def key(name: str, **marker: Any) -> dict[str, Any]:
        return {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": name,
                "showlegend": True, "hoverinfo": "skip", "marker": marker}  # fmt: skip

    keys = []
    if heat.optimal:
        keys.append(key("optimal", symbol="circle", size=8, color="white",
                        line={"color": "black", "width": 1.2}))  # fmt: skip
    if heat.golden:
        keys.append(key("golden layer", symbol="square-open", size=12, color=GOLD,
                        line={"color": GOLD, "width": 2.4}))  # fmt: skip
    if any(v is None for row in heat.values for v in row):
        keys.append(key("no value", symbol="square", size=12, color=EMPTY,
                        line={"color": SOFT, "width": 0.5}))  # fmt: skip
    return keys
