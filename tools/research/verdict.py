"""What is to be said of choosers over several cells: tables, and the verdict by a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from goldenlayers.metrics.scores import MEAN_OF

Found = Mapping[str, Mapping[str, Any]]  # by cell and chooser: judge.Excess
LOW, HIGH = 0.025, 0.975


def whole(found: Found, chooser: str) -> tuple[float, float, float, NDArray[np.float64]]:
    """Return the mean excess over all cells, the ends of its interval, and its resamples (R,)."""
    cells = [one[chooser] for one in found.values()]
    again = np.mean([e.resampled for e in cells], axis=0)
    low, high = np.quantile(again, [LOW, HIGH])
    return float(np.mean([e.mean for e in cells])), float(low), float(high), again


def less(found: Found, chooser: str, base: str) -> tuple[float, float, float]:
    """Return the mean excess less that of another chooser, and the ends of its interval."""
    mine, its = whole(found, chooser), whole(found, base)
    low, high = np.quantile(mine[3] - its[3], [LOW, HIGH])
    return mine[0] - its[0], float(low), float(high)


def verdict(found: Found, spent: Mapping[str, float], rule: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of the registered chooser, a line each.

    Args:
        found: By cell and chooser.
        spent: By cell, the time of `staged` as a share of brute force's on the same facts.
        rule: `chooser`, `mean_at_most`, `upper_at_most` and `time_at_most`, shares of one.
    """
    name = rule["chooser"]
    mean, low, high, _ = whole(found, name)
    than, than_low, than_high = less(found, name, "lga")
    time = float(np.mean(list(spent.values())))
    met = {
        f"mean excess {points(mean)}, at most {points(rule['mean_at_most'])}":
            mean <= rule["mean_at_most"],
        f"95 % interval {points(low)} to {points(high)}, its upper end at most "
        f"{points(rule['upper_at_most'])}": high <= rule["upper_at_most"],
        f"less LGA's {points(than)} ({points(than_low)} to {points(than_high)}), under zero":
            than_high < 0,
        f"time {time:.1%} of brute force's on the same facts, at most {rule['time_at_most']:.0%}":
            time <= rule["time_at_most"],
    }  # fmt: skip
    lines = [f"{name}, {len(found)} cells"]
    lines += [f"{'met' if yes else 'NOT MET'}: {what}" for what, yes in met.items()]
    for cell, one in found.items():
        e = one[name]
        decided = (
            "within" if e.high <= rule["upper_at_most"]
            else "beyond" if e.low > rule["upper_at_most"] else "undecided"
        )  # fmt: skip
        lines.append(
            f"{cell}: {decided} ({points(e.low)} to {points(e.high)}), time {spent[cell]:.1%}"
        )
    lines.append(f"better than LGA: {'confirmed' if than_high < 0 else 'not confirmed'}")
    lines.append(f"the goal: {'met' if all(met.values()) else 'not met'}")
    return lines


def over_cells(found: Found) -> Table:
    """Return the mean excess over the cells by chooser, and how it compares with the baselines."""
    first = next(iter(found.values()))
    bases = next(iter(first.values())).than
    table = Table(title=f"mean excess over {len(found)} cells, points (95 %), less that of others")
    for name in ("chooser", "excess", "worst cell", *(f"less {b}" for b in bases)):
        table.add_column(name, justify="left" if name == "chooser" else "right")
    for name in first:
        mean, low, high, _ = whole(found, name)
        table.add_row(
            name, ranged(mean, low, high), points(max(o[name].mean for o in found.values())),
            *(ranged(*less(found, name, b)) if b != name else "" for b in bases),
        )  # fmt: skip
    return table


def by_cell(found: Found, names: Sequence[str], spent: Mapping[str, float]) -> Table:
    """Return the excess by cell, a row each, for some choosers."""
    table = Table(title="excess over brute force on the same proxy facts by cell, points (95 %)")
    for name in ("cell", "floor", *names, "staged's time"):
        first = name == "cell"
        table.add_column(name, justify="left" if first else "right", no_wrap=first)
    for cell, one in found.items():
        some = [one[name] for name in names]
        table.add_row(
            cell, points(some[0].floor), *(ranged(e.mean, e.low, e.high) for e in some),
            f"{spent[cell]:.1%}",
        )  # fmt: skip
    return table


def scores_by_layer(cell: str, seen: Mapping[str, Any]) -> Table:
    """Return the facts' mean scores after an edit at each layer, in percent."""
    table = Table(title=f"{cell}: {len(seen['facts'])} facts, scores by layer, percent")
    for name in ("layer", *MEAN_OF):
        table.add_column(name, justify="right")
    for j, layer in enumerate(seen["layers"]):
        shares = [seen[f"truth_{name}"][:, j] for name in MEAN_OF]
        table.add_row(
            str(layer), *("" if np.isnan(x).all() else f"{100 * np.nanmean(x):.1f}" for x in shares)
        )
    return table


def ranged(mean: float, low: float, high: float) -> str:
    return f"{points(mean)} ({points(low)} to {points(high)})"


def points(value: float) -> str:
    return f"{100 * value:+.1f}"
