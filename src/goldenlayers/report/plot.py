"""The picture of a ranking: scores by layer, fences, and how sure the choice is.

Colours are from Okabe and Ito's palette, which the colour-blind can tell apart; what is excluded is
hatched as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from goldenlayers.report.table import RUNNERS_UP

if TYPE_CHECKING:
    from goldenlayers.locators.ranking import LayerRanking, LayerScore

TITLES = {
    "lga": "LGA",
    "cma": "CMA",
    "brute-force": "brute force",
    "verified": "a race of edits",
    "staged": "a few edits",
}
GOLD, BLUE, SKY, GREY, INK = "#E69F00", "#0072B2", "#8CC4E8", "#B8B8B8", "#222222"


def plot_ranking(ranking: LayerRanking, path: str | Path | None = None) -> Figure:
    """Draw a ranking.

    Args:
        ranking: The ranking.
        path: Where to write the picture too; the suffix decides the format.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    sure = _sureness(ranking)
    n = len(ranking.layers)
    figure = Figure(figsize=(max(8.0, min(16.0, 2.2 + 0.24 * n)), 4.4 if sure is None else 5.6))
    figure.set_layout_engine("constrained")
    if sure is None:
        top = lowest = figure.subplots()
    else:
        top, lowest = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
        _shares(lowest, ranking, *sure)
    _scores(top, ranking)
    lowest.set_xlabel("layer")
    step = max(1, round(n / 32))
    lowest.set_xticks([s.layer for s in ranking.layers][::step])
    first, last = ranking.layers[0].layer, ranking.layers[-1].layer
    lowest.set_xlim(first - 0.8, last + 0.8)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _colour(score: LayerScore) -> str:
    if score.rank == 1:
        return GOLD
    if score.rank is None:
        return GREY
    return BLUE if score.rank <= 1 + RUNNERS_UP else SKY


def _scores(axes: Axes, ranking: LayerRanking) -> None:
    reached = [s for s in ranking.layers if s.score is not None]
    errors = [_error(s) for s in reached]
    bars = axes.bar(
        [s.layer for s in reached],
        [s.score or 0.0 for s in reached],
        width=0.78,
        color=[_colour(s) for s in reached],
        edgecolor="white",
        linewidth=0.5,
        yerr=errors if any(errors) else None,
        error_kw={"ecolor": INK, "elinewidth": 0.8},
    )
    if "score" in ranking.shares:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    for bar, score in zip(bars, reached, strict=True):
        if score.rank is None:
            bar.set_hatch("////")
    low, high = _limits(ranking)
    axes.set_ylim(low, high)
    axes.axhline(0, color=INK, linewidth=0.8)
    if ranking.fences is not None:
        for value in ranking.fences:
            if low < value < high:
                axes.axhline(value, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    for score in reached:
        value = score.score or 0.0
        if value > high or value < low:  # a bar that leaves the picture says how far it goes
            up = value > high
            axes.annotate(
                f"{_short(value)} ▶" if up else f"◀ {_short(value)}",  # turned by 90 degrees
                (score.layer, high if up else low),
                xytext=(0, -3 if up else 3),
                textcoords="offset points",
                rotation=90,
                ha="center",
                va="top" if up else "bottom",
                fontsize=7.5,
                color=INK,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            )
    best = ranking[ranking.golden]
    value = best.score or 0.0
    axes.annotate(
        f"golden: {best.layer}",
        (best.layer, value + (_error(best) if value >= 0 else -_error(best))),
        xytext=(0, 4 if value >= 0 else -4),  # at the free end of the bar
        textcoords="offset points",
        ha="center",
        va="bottom" if value >= 0 else "top",
        fontsize=9,
        fontweight="bold",
        color=INK,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
    )
    axes.set_ylabel(ranking.axis, fontsize=9)
    axes.set_title(_title(ranking), loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.legend(
        handles=_legend(ranking),
        fontsize=8,
        frameon=False,
        ncols=4,
        loc="upper center",
        # below the layers' numbers, where no second panel has them
        bbox_to_anchor=(0.5, -0.12 if _sureness(ranking) is None else -0.02),
    )


def _limits(ranking: LayerRanking) -> tuple[float, float]:
    """Bars inside the fences fill the picture; the others are cut and labelled."""
    ranked = [s for s in ranking.layers if s.rank is not None and s.score is not None]
    low = min(0.0, *((s.score or 0.0) - _error(s) for s in ranked))
    high = max(0.0, *((s.score or 0.0) + _error(s) for s in ranked))
    if ranking.fences is not None:
        outside = [s.score or 0.0 for s in ranking.layers if s.side is not None]
        if any(v > high for v in outside):
            high = max(high, ranking.fences[1])
        if any(v < low for v in outside):
            low = min(low, ranking.fences[0])
    span = (high - low) or 1.0
    return (low - 0.12 * span if low < 0 else 0.0), high + 0.16 * span


def _error(score: LayerScore) -> float:
    """Return the score's standard error, 0 where the method has none."""
    return score.more.get("standard_error") or 0.0


def _sureness(ranking: LayerRanking) -> tuple[str, list[float]] | None:
    """Return how sure each layer is to be chosen or the best, in percent, and what that is."""
    if any(s.stability is not None for s in ranking.layers):
        shares = [100 * (s.stability or 0.0) for s in ranking.layers]
        return "wins among\nresampled facts, %", shares
    if any("likely" in s.more for s in ranking.layers):
        return "likely the best\nof all, %", [
            100 * (s.more["likely"] or 0.0) for s in ranking.layers
        ]
    return None


def _shares(axes: Axes, ranking: LayerRanking, what: str, shares: list[float]) -> None:
    axes.bar(
        [s.layer for s in ranking.layers],
        shares,
        width=0.78,
        color=[_colour(s) for s in ranking.layers],
    )
    for score, share in zip(ranking.layers, shares, strict=True):
        if share >= 1:
            axes.annotate(
                f"{share:.0f}",
                (score.layer, share),
                xytext=(0, 1.5),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=INK,
            )
    axes.set_ylim(0, max(10.0, 1.3 * max(shares)))
    axes.set_ylabel(what, fontsize=9)


def _legend(ranking: LayerRanking) -> list[Artist]:
    handles: list[Artist] = [
        Patch(facecolor=GOLD, label="golden layer"),
        Patch(facecolor=BLUE, label="runners-up"),
        Patch(facecolor=SKY, label="other layers"),
    ]
    if any(_error(s) for s in ranking.layers):
        handles.append(Line2D([], [], color=INK, linewidth=0.8, label="± one standard error"))
    if any(s.side for s in ranking.layers):
        handles.append(
            Patch(
                facecolor=GREY, hatch="////", edgecolor="white", label="outside the fences (dashed)"
            )
        )
    return handles


def _title(ranking: LayerRanking) -> str:
    name = ranking.model.get("title", "the model")
    on = f" on {len(ranking.answers)} facts" if ranking.answers else ""
    return (
        f"Layer {ranking.golden} is the golden layer of {name} "
        f"by {TITLES.get(ranking.method, ranking.method)}{on}"
    )


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
