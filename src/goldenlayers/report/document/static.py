"""Figures by matplotlib, for files and for print."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from goldenlayers.report.document.labels import place
from goldenlayers.report.document.look import GRID, LARGER, LOOKS, PAPER, SOFT, drawn, written
from goldenlayers.report.document.places import (
    Places,
    across,
    extremes,
    legend_names,
    log_ticks,
    marked,
    places,
    reach,
    unseen,
    upright,
)
from goldenlayers.report.document.plots import Axis, Bars, Heat, Lines, Plot, Scatter, Series
from goldenlayers.report.document.static_heat import draw_heat
from goldenlayers.report.document.text import for_matplotlib, shortened
from goldenlayers.report.plot import INK
from goldenlayers.report.printable import printable

SIZE = (8.0, 4.6)
_DOTS = 150
_SETTINGS: Any = {
    "svg.hashsalt": "golden-layers",
    "font.family": "DejaVu Sans",
    "hatch.linewidth": 0.7,
}
_ANCHORS = {
    "right": ("left", "center", 6, 0), "left": ("right", "center", -6, 0),
    "top": ("center", "bottom", 0, 6), "bottom": ("center", "top", 0, -6),
}  # fmt: skip


def draw_static(plot: Plot, title: str, path: str | Path | None = None) -> Figure:
    """Draw a plot with matplotlib. The same plot gives the same bytes.

    Args:
        plot: What is drawn.
        title: Over it; users' text may stand there.
        path: Where to write the picture too: .png (150 dots per inch), .svg or another suffix.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # a script that the font lacks is drawn as boxes; the tables and the page have it
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        if isinstance(plot, Heat):
            figure = draw_heat(plot)
        else:
            figure = Figure(figsize=SIZE)
            figure.set_layout_engine("constrained")
            _draw(figure, plot)
        figure.suptitle(
            _wrapped(title, max(36, int(9.6 * figure.get_figwidth())), 160),
            x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK,
        )  # fmt: skip
        if path is not None:
            _save(figure, Path(path))
    return figure


def _save(figure: Figure, path: Path) -> None:
    # neither the day nor the version of matplotlib: files of the same result shall be the same
    nothing: dict[str, dict[str, Any]] = {
        ".svg": {"Date": None, "Creator": None},
        ".png": {"Software": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    figure.savefig(path, dpi=_DOTS, metadata=nothing.get(path.suffix.lower()), facecolor=PAPER)


def _draw(figure: Figure, plot: Bars | Lines | Scatter) -> None:
    axes = figure.subplots()
    lines = plot.lines if isinstance(plot, Bars) else ()
    x = places((*plot.series, *lines), plot.x)
    handles: list[Any] = []
    shown = [*plot.series, *(lines if isinstance(plot, Bars) and plot.second is None else ())]
    _upwards(axes, shown, plot.y, isinstance(plot, Bars))
    if isinstance(plot, Bars):
        handles += [_bars(axes, plot, x, i) for i in range(len(plot.series))]
        on = axes
        if plot.second is not None:
            on = axes.twinx()
            _upwards(on, lines, plot.second, False)
            _dress(on, plot.second, "y")
            on.spines[["top", "left", "bottom"]].set_visible(False)
        # between names there is nothing that a line could stand for
        handles += [_line(on, one, x, plot.second or plot.y, not x.names) for one in lines]
    else:
        joined = isinstance(plot, Lines)
        handles += [_line(axes, one, x, plot.y, joined) for one in plot.series]
    _across(axes, x, bars=isinstance(plot, Bars))
    _dress(axes, plot.y, "y")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both" if isinstance(plot, Scatter) else "y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    _names(figure, axes, plot, x)
    _legend(figure, handles, plot)
    if not any(drawn(v, plot.y.format, plot.y.log) is not None for one in shown for v in one.y):
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color=SOFT)
    hidden = sum(unseen(one.y, plot.y) for one in shown) + sum(
        unseen([v for v in one.x if not isinstance(v, str)], plot.x) for one in plot.series
    )
    if hidden:
        axes.text(1, 1.01, f"not on a logarithmic axis: {hidden} at or below zero", ha="right",
                  transform=axes.transAxes, fontsize=8, color=SOFT)  # fmt: skip


def _bars(axes: Axes, plot: Bars, x: Places, i: int) -> Any:
    one, look = plot.series[i], LOOKS[plot.series[i].role]
    width = 0.82 * x.least / len(plot.series)
    shift = (i - (len(plot.series) - 1) / 2) * width
    first = None
    for k, value in enumerate(one.y):
        at, height = x.at(one.x[k]), drawn(value, plot.y.format, plot.y.log)
        if at is None or height is None:
            continue
        own = LOOKS[one.marks.get(k, one.role)]
        (bar,) = axes.bar(
            [at + shift], [height], width, color=own.colour, zorder=2,
            hatch="////" if one.dashed else (own.hatch or look.hatch),
            edgecolor=INK if own is LOOKS["golden"] else PAPER, linewidth=0.7,
        )  # fmt: skip
        first = first or bar
        error = _error(one, k, plot.y)
        if error:
            axes.errorbar([at + shift], [height], [error], fmt="none", ecolor=INK, elinewidth=0.9)
        if k < len(one.labels) and one.labels[k]:
            up = height >= 0
            axes.annotate(
                for_matplotlib(shortened(one.labels[k], 20)),
                (at + shift, height + (error or 0.0) * (1 if up else -1)), color=INK, fontsize=8,
                xytext=(0, 2 if up else -2), textcoords="offset points",
                ha="center", va="bottom" if up else "top",
                rotation=90 if upright(plot.series, x) else 0,
            )  # fmt: skip
    hatch = "////" if one.dashed else look.hatch
    return Patch(facecolor=look.colour, hatch=hatch, edgecolor=PAPER)


def _line(axes: Axes, one: Series, x: Places, y: Axis, joined: bool = True) -> Any:
    look = LOOKS[one.role]
    at = [x.at(place) for place in one.x]
    heights = [drawn(value, y.format, y.log) for value in one.y]
    nan = float("nan")
    xs = [nan if v is None or h is None else v for v, h in zip(at, heights, strict=True)]
    ys = [nan if v is None or h is None else h for v, h in zip(at, heights, strict=True)]
    style: dict[str, Any] = {
        "color": look.colour, "marker": look.marker, "markersize": 6.0 if joined else 8.0,
        "linestyle": ("none" if not joined else "--" if one.dashed else look.dash),
        "markeredgecolor": INK if one.role in LARGER else PAPER, "markeredgewidth": 0.6,
        "markerfacecolor": PAPER if one.dashed else look.colour,
    }  # fmt: skip
    if one.dashed:
        style["markeredgecolor"] = look.colour
    if one.role in LARGER:
        style["markersize"] = 6.5 * LARGER[one.role]
    errors = [_error(one, k, y) or 0.0 for k in range(len(xs))]
    if any(errors):
        axes.errorbar(xs, ys, errors, fmt="none", ecolor=look.colour, elinewidth=0.9, alpha=0.7)
    # what is drawn over may be met by the next line's value: marks stay above all lines
    (line,) = axes.plot(xs, ys, linewidth=1.6, zorder=3, clip_on=False, **style)
    for k, role in sorted(one.marks.items()):
        if 0 <= k < len(xs):
            own = LOOKS[role]
            axes.plot([xs[k]], [ys[k]], marker=own.marker, color=own.colour, zorder=4,
                      markersize=8 * LARGER.get(role, 1.0), markeredgecolor=INK,
                      markeredgewidth=0.8, linestyle="none", clip_on=False)  # fmt: skip
    return line


def _error(one: Series, k: int, y: Axis) -> float | None:
    return drawn(one.error[k], y.format) if k < len(one.error) else None


def _upwards(axes: Axes, series: Sequence[Series], y: Axis, zero: bool) -> None:
    if y.log:
        axes.set_yscale("log")
    ends = reach(extremes(series, y), y, zero and not y.log)
    axes.set_ylim(*ends)
    if y.log:
        axes.set_yticks(log_ticks(*ends))
    if zero and not y.log:
        axes.axhline(0, color=INK, linewidth=0.8, zorder=3)


def _across(axes: Axes, x: Places, bars: bool) -> None:
    if x.names:
        wide = max(4, 84 // len(x.names))
        lines = [textwrap.wrap(printable(name), wide, break_long_words=False) for name in x.names]
        long = any(len(n) > 3 or any(len(part) > wide for part in n) for n in lines)
        texts = [
            for_matplotlib(shortened(name, 28)) if long else "\n".join(map(for_matplotlib, parts))
            for name, parts in zip(x.names, lines, strict=True)
        ]
        axes.set_xticks(range(len(texts)), texts, rotation=32 if long else 0,
                        ha="right" if long else "center", rotation_mode="anchor")  # fmt: skip
        axes.set_xlim(*across(x, bars))
    else:
        if x.axis.log:
            axes.set_xscale("log")
        axes.set_xlim(*across(x, bars))
        ticks = x.ticks(33)
        if ticks is not None:
            axes.set_xticks(ticks)
    _dress(axes, x.axis, "x", named=bool(x.names))


def _dress(axes: Axes, axis: Axis, which: str, named: bool = False) -> None:
    on = axes.xaxis if which == "x" else axes.yaxis
    on.set_label_text(_wrapped(axis.title, 50), fontsize=9.5, color=INK)
    if not named:
        on.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, axis)))
        if axis.log:
            on.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=9, colors=INK)


def _wrapped(text: str, width: int, most: int = 100) -> str:
    return textwrap.fill(for_matplotlib(shortened(text, most)), width)


def _tick(value: float, axis: Axis) -> str:
    text = f"{value:.10g}" if 1e-3 <= abs(value) < 1e6 or value == 0 else written(value)
    return f"{text}%".replace("-", "−") if axis.format == "percent" else text.replace("-", "−")


def _names(figure: Figure, axes: Axes, plot: Bars | Lines | Scatter, x: Places) -> None:
    """Write the labels of points where they hide least."""
    if isinstance(plot, Bars):
        return
    points, texts = [], []
    for one in plot.series:
        for k, label in enumerate(one.labels[: len(one.x)]):
            at, height = x.at(one.x[k]), drawn(one.y[k], plot.y.format, plot.y.log)
            if label and at is not None and height is not None:
                points.append((at, height))
                texts.append(shortened(label, 32))
    if not points:
        return
    figure.draw_without_rendering()  # the axes get their size
    spots = [tuple(p * 72 / figure.dpi) for p in axes.transData.transform(points)]
    box = [float(end) * 72 / figure.dpi for end in axes.get_window_extent().extents]
    sides = place(spots, texts, (box[0], box[1], box[2], box[3]), 8.5)
    for point, text, side in zip(points, texts, sides, strict=True):
        if side is None:
            continue
        ha, va, dx, dy = _ANCHORS[side]
        axes.annotate(for_matplotlib(text), point, xytext=(dx, dy), textcoords="offset points",
                      ha=ha, va=va, fontsize=8.5, color=INK, zorder=5)  # fmt: skip


def _legend(figure: Figure, handles: list[Any], plot: Bars | Lines | Scatter) -> None:
    names = [for_matplotlib(shortened(name, 60)) for name in legend_names(plot)]
    for role, name in marked(plot):
        look = LOOKS[role]
        handles.append(
            Patch(facecolor=look.colour, edgecolor=INK, linewidth=0.7)
            if isinstance(plot, Bars)
            else Line2D([], [], linestyle="none", marker=look.marker, color=look.colour,
                        markeredgecolor=INK, markersize=7 * LARGER[role])
        )  # fmt: skip
        names.append(name)
    if len(names) > 1:
        wide = max(len(name) for name in names)
        columns = max(1, min(len(names), int(100 / (wide + 6))))
        # a long legend makes the picture taller, not the axes smaller
        figure.set_figheight(SIZE[1] + 0.2 * (-(-len(names) // columns) - 1))
        figure.legend(handles, names, loc="outside lower left", frameon=False, fontsize=9,
                      ncols=columns)  # fmt: skip
