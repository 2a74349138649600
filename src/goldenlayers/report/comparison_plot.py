"""The picture of a comparison: the truth by layer, and where each method pointed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from goldenlayers.report.comparison_table import draws
from goldenlayers.report.plot import BLUE, GOLD, INK, SKY, TITLES

if TYPE_CHECKING:
    from goldenlayers.study.comparison import Comparison

SINGLE = {"rewrite": "#D55E00", "rephrase": "#009E73", "locality": "#CC79A7",
          "portability": "#56B4E9"}  # fmt: skip


def plot_comparison(comparison: Comparison, path: str | Path | None = None) -> Figure:
    """Draw a comparison.

    Args:
        comparison: The comparison.
        path: Where to write the picture too; the suffix decides the format.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    rows = len(comparison.methods)
    n = len(comparison.layers)
    figure = Figure(figsize=(max(8.0, min(14.0, 3.0 + 0.26 * n)), 4.2 + 0.34 * rows))
    figure.set_layout_engine("constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 0.4 + 0.32 * rows])
    _truth(top, comparison)
    _choices(bottom, comparison)
    step = max(1, round(n / 32))
    bottom.set_xticks(list(comparison.layers)[::step])
    bottom.set_xlabel("layer")
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _truth(axes: Axes, comparison: Comparison) -> None:
    c = comparison
    score = c.test["score"]
    colours = [GOLD if layer == c.golden else SKY for layer in c.layers]
    axes.bar(
        c.layers, score, yerr=c.test["standard_error"], color=colours, width=0.78,
        error_kw={"ecolor": INK, "elinewidth": 0.8},
    )  # fmt: skip
    for name, colour in SINGLE.items():
        if name in c.test and name != c.objective:
            axes.plot(c.layers, c.test[name], color=colour, linewidth=1.3, label=name)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            fontsize=8, frameon=False, ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0)
        )
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_ylim(0, 1.04)
    axes.set_ylabel("bars: mean" if c.objective == "mean" else f"bars: {c.objective}", fontsize=9)
    axes.set_title(
        f"{len(c.test_facts)} test facts edited at every layer; golden: {c.golden}",
        loc="left", fontsize=11, fontweight="bold", color=INK, pad=20,
    )  # fmt: skip


def _choices(axes: Axes, comparison: Comparison) -> None:
    methods = comparison.methods[::-1]
    for y, method in enumerate(methods):
        for layer, count in method.layers().items():
            axes.scatter(
                [layer], [y], s=28 + 22 * count, zorder=3,
                color=GOLD if layer == comparison.golden else BLUE,
            )  # fmt: skip
    axes.axvline(comparison.golden, color=GOLD, linewidth=1.0, zorder=1)
    axes.set_yticks(range(len(methods)), [TITLES.get(m.method, m.method) for m in methods])
    axes.set_ylim(-0.6, len(methods) - 0.4)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(
        f"chosen on {draws(comparison)} of {len(comparison.draws[0])} proxy facts "
        "(larger: more often)",
        loc="left", fontsize=9, color=INK,
    )  # fmt: skip
