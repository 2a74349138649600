"""Grids of colours by matplotlib."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import PercentFormatter

from goldenlayers.report.document.look import EMPTY, PAPER, SCALE, SOFT, drawn
from goldenlayers.report.document.panels import Panel, limits, panels
from goldenlayers.report.document.plots import Heat
from goldenlayers.report.document.text import for_matplotlib, shortened
from goldenlayers.report.plot import GOLD, INK

COLOURS = LinearSegmentedColormap.from_list("much", SCALE)


def draw_heat(heat: Heat) -> Figure:
    """Draw a heat map, its panels side by side."""
    parts = panels(heat)
    n, rows = len(heat.columns), max((p.end - p.first for p in parts), default=0)
    cell = 0.27 if n <= 40 else 0.2
    high = 0.27 if rows <= 40 else 0.2 if rows <= 90 else 0.14
    wide = max(2.4, cell * n) * len(parts) + 3.4
    figure = Figure(figsize=(max(6.5, min(22.0, wide)), max(3.0, min(40.0, 1.9 + high * rows))))
    figure.set_layout_engine("constrained")
    grid = figure.subplots(1, len(parts), squeeze=False)[0]
    low, top = limits(heat)
    image = None
    names: tuple[str, ...] = ()
    for axes, part in zip(grid, parts, strict=True):
        here = heat.rows[part.first : part.end]
        image = _panel(axes, heat, part, (low, top))
        # names that the grid at the left has as well are not written again
        axes.set_yticks(range(len(here)), [for_matplotlib(shortened(r, 40)) for r in here])
        if here == names:
            axes.set_yticklabels([])
        names = here
    grid[0].set_ylabel(for_matplotlib(shortened(heat.y, 60)), fontsize=9.5, color=INK)
    if image is not None:
        bar = figure.colorbar(image, ax=list(grid), fraction=0.05, aspect=28, pad=0.02)
        if heat.format == "percent":
            bar.ax.yaxis.set_major_formatter(PercentFormatter(decimals=0 if top - low > 4 else 1))
        bar.ax.tick_params(labelsize=8.5, colors=INK)
        bar.outline.set_visible(False)
        bar.set_label(
            textwrap.fill(
                for_matplotlib(shortened(heat.scale, 60)), max(14, int(7 * figure.get_figheight()))
            ),
            fontsize=9,
            color=INK,
        )
    _legend(figure, heat)
    return figure


def _panel(axes: Axes, heat: Heat, part: Panel, ends: tuple[float, float]) -> AxesImage | None:
    values = np.array(
        [
            [np.nan if (v := drawn(x, heat.format)) is None else v for x in row]
            for row in heat.values[part.first : part.end]
        ],
        dtype=float,
    ).reshape(part.end - part.first, len(heat.columns))
    # the corners of empty cells are hatched: no value is not a low value
    axes.patch.set(facecolor=EMPTY, hatch="////", edgecolor="#D2D2D2", linewidth=0)
    image = None
    if values.size:
        image = axes.imshow(values, cmap=COLOURS, vmin=ends[0], vmax=ends[1], aspect="auto",
                            interpolation="nearest")  # fmt: skip
    else:
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color=SOFT)
    step = max(1, -(-len(heat.columns) // 24))
    columns = [for_matplotlib(shortened(c, 24)) for c in heat.columns]
    long = max((len(c) for c in columns), default=0) > 4
    axes.set_xticks(range(0, len(columns), step), columns[::step], rotation=40 if long else 0,
                    ha="right" if long else "center", rotation_mode="anchor")  # fmt: skip
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(part.end - part.first + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=PAPER, linewidth=0.8)
    axes.tick_params(which="both", length=0, labelsize=8.5, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(for_matplotlib(shortened(heat.x, 60)), fontsize=9.5, color=INK)
    if part.name:
        axes.set_title(for_matplotlib(shortened(part.name, 48)), loc="left", fontsize=9.5,
                       color=INK)  # fmt: skip
    for row, column in sorted(heat.golden):
        if part.first <= row < part.end:
            spot = (column - 0.5, row - part.first - 0.5)
            for colour, width in ((INK, 3.4), (GOLD, 2.2)):  # the dark rim parts gold from white
                axes.add_patch(Rectangle(spot, 1, 1, fill=False, edgecolor=colour, zorder=3,
                                         linewidth=width, clip_on=False))  # fmt: skip
    spots = [(c, r - part.first) for r, c in sorted(heat.optimal) if part.first <= r < part.end]
    if spots:  # white with a dark rim is seen on every colour
        axes.plot(*zip(*spots, strict=True), linestyle="none", marker="o", color="white",
                  markersize=5, markeredgecolor=INK, markeredgewidth=0.9, zorder=4)  # fmt: skip
    return image


def _legend(figure: Figure, heat: Heat) -> None:
    handles: list[Line2D | Patch] = []
    if heat.optimal:
        handles.append(Line2D([], [], linestyle="none", marker="o", color="white", markersize=5,
                              markeredgecolor=INK, label="optimal"))  # fmt: skip
    if heat.golden:
        handles.append(Patch(facecolor="none", edgecolor=GOLD, linewidth=2.2, label="golden"))
    if any(x is None for row in heat.values for x in row):
        handles.append(Patch(facecolor=EMPTY, hatch="////", edgecolor="#D2D2D2", label="no value"))
    if handles:
        figure.legend(handles=handles, loc="outside lower left", frameon=False, fontsize=9,
                      ncols=len(handles))  # fmt: skip
