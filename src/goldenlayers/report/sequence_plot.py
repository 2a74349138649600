"""The picture of edits made one after another: does the model survive them?

Colours are from Okabe and Ito's palette, which the colour-blind can tell apart; marker and dashes
differ too, and later lines are thinner, so that lines that coincide are all seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator, NullFormatter

from goldenlayers.report.plot import BLUE, GOLD, GREY, INK

if TYPE_CHECKING:
    from goldenlayers.study.milestone import EditSequence, Milestone

# score -> title; shares are drawn from 0 to 100 %
SHARES = {
    "rewrite": "rewrite (all facts so far)",
    "rephrase": "rephrase (all facts so far)",
    "locality": "locality (all facts so far)",
    "portability": "portability (all facts so far)",
}
COLOURS = (BLUE, GOLD, "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)))
# from the first line to the last, wide to narrow: what lies on top does not hide what is below
WIDTHS = (3.4, 1.9, 1.4, 1.2, 1.1, 1.0)
SIZES = (6.5, 4.2, 3.6, 3.2, 3.2, 3.2)
GRID = "#E4E4E4"


def plot_sequences(sequences: Sequence[EditSequence], path: str | Path | None = None) -> Figure:
    """Draw scores, fluency, perplexity, the weights' growth and the time, one line per editor.

    Bands are one standard error over facts to either side. What is not finite is left out.

    Args:
        sequences: One or more, over the same facts.
        path: Where to write the picture too; the suffix decides the format.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    figure = Figure(figsize=(14, 6.4))
    figure.set_layout_engine("constrained", hspace=0.06, wspace=0.05)
    axes = figure.subplots(2, 4, sharex=True).ravel()
    for i, (name, title) in enumerate(SHARES.items()):
        _lines(axes[i], sequences, title, _score(name, 100), _error(name, 100))
        axes[i].set_ylim(-4, 104)
        axes[i].yaxis.set_major_formatter("{x:.0f} %")
    _lines(axes[4], sequences, "fluency (bits)", _score("fluency"), _error("fluency"))
    axes[4].set_ylim(0, 1.05 * axes[4].get_ylim()[1])
    _lines(axes[5], sequences, "perplexity of a fixed text", _score("perplexity"))
    unedited = sequences[0].milestones[0].scores.get("perplexity")
    _growth_scale(axes[5], unedited)
    _lines(axes[6], sequences, "|edited weight| / |weight before|", lambda m: m.weight_growth)
    _growth_scale(axes[6])
    _lines(axes[7], sequences, "seconds per edit, without scoring", lambda m: m.seconds_per_fact)
    axes[7].set_ylim(0, 1.05 * axes[7].get_ylim()[1])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8.5, colors=INK, labelbottom=True)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axis.margins(x=0.03)
    for axis in axes[4:]:
        axis.set_xlabel("edits made", fontsize=9, color=INK)
    handles = axes[0].get_lines()[: len(sequences)]
    labels = [_label(s) for s in sequences]
    figure.legend(
        handles, labels, loc="outside upper left", ncols=min(2, len(labels)), frameon=False,
        fontsize=10, handlelength=3,
    )  # fmt: skip
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _label(sequence: EditSequence) -> str:
    last = sequence.milestones[-1]
    return f"{sequence.editor}, {sequence.where} ({last.converged} of {last.edits} edits took)"


def _score(name: str, scale: float = 1.0) -> Callable[[Milestone], float | None]:
    return lambda m: None if (value := m.scores.get(name)) is None else scale * value


def _error(name: str, scale: float = 1.0) -> Callable[[Milestone], float | None]:
    return lambda m: None if (value := m.standard_errors.get(name)) is None else scale * value


def _lines(
    axis: Axes,
    sequences: Sequence[EditSequence],
    title: str,
    value: Callable[[Milestone], float | None],
    error: Callable[[Milestone], float | None] = lambda m: None,
) -> None:
    drawn = 0
    for k, sequence in enumerate(sequences):
        x: list[int] = []
        y: list[float] = []
        spread: list[float] = []
        for m in sequence.milestones:
            found = value(m)
            if found is not None and math.isfinite(found):
                x.append(m.edits)
                y.append(found)
                spread.append(error(m) or 0.0)
        drawn += len(x)
        colour, style = COLOURS[k % len(COLOURS)], k % len(MARKERS)
        if any(spread):
            low, high = ([a + s * b for a, b in zip(y, spread, strict=True)] for s in (-1, 1))
            axis.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
        axis.plot(
            x, y, color=colour, linestyle=DASHES[style], linewidth=WIDTHS[style],
            marker=MARKERS[style], markersize=SIZES[style], markeredgecolor="white",
            markeredgewidth=0.6,
        )  # fmt: skip
    axis.set_title(title, fontsize=10, color=INK, loc="left")
    axis.grid(axis="y", color=GRID, linewidth=0.6)
    axis.set_axisbelow(True)
    if not drawn:
        axis.set_yticks([])
        axis.text(
            0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", color=GREY, fontsize=9
        )


def _growth_scale(axis: Axes, one: float | None = 1.0) -> None:
    """Make the axis logarithmic where its values grow much, with the unedited one marked."""
    if one is None or not math.isfinite(one):
        return
    low, high = axis.get_ylim()
    if high > 3 * one:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(LogFormatter(labelOnlyBase=high > 30 * one))
        axis.yaxis.set_minor_formatter(
            NullFormatter() if high > 30 * one else LogFormatter(minor_thresholds=(2, 1))
        )
    else:
        axis.set_ylim(min(low, 0.9 * one), max(high, 1.5 * one))
    axis.axhline(one, color=GREY, linewidth=0.8, zorder=0)
