"""Where the values of a plot stand: names and numbers along an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from goldenlayers.report.document.look import drawn, factor
from goldenlayers.report.document.plots import Axis, Bars, Lines, Number, Role, Scatter, Series
from goldenlayers.report.document.text import shortened


@dataclass(frozen=True)
class Places:
    """An axis whose places are names, or numbers.

    Attributes:
        axis: What it shows.
        names: In the order in which they come; empty if the places are numbers.
        whole: Whether all numbers are whole, as layers are.
        least: The smallest distance between two places, for the width of bars.
        span: From the first place to the last.
        numbers: The places in order; empty if they are names.
    """

    axis: Axis
    names: tuple[str, ...]
    whole: bool
    least: float
    span: tuple[float, float]
    numbers: tuple[float, ...] = ()

    def at(self, x: float | str) -> float | None:
        """Return where a place is drawn; None if it cannot be."""
        if self.names:
            return float(self.names.index(_name(x)))
        return drawn(x, self.axis.format, self.axis.log) if not isinstance(x, str) else None

    def ticks(self, most: int) -> tuple[float, ...] | None:
        """Return where numbers are written beneath, at most so many; None to leave it open.

        These are the places themselves where they have room, else round numbers.
        """
        if self.names:
            return None
        if self.axis.log:
            return log_ticks(*across(self, False), most)
        low, high = self.span
        if len(self.numbers) <= most and high - low <= self.least * most and self.whole:
            return self.numbers
        if not self.whole:
            return None
        steps = (s * 10**e for e in range(12) for s in (1, 2, 5))
        step = next(s for s in steps if (high - low) / s < most)
        return tuple(range(math.ceil(low / step) * step, int(high) + 1, step))


def log_ticks(low: float, high: float, most: int = 9) -> tuple[float, ...]:
    """Return where a logarithmic axis has numbers: powers of ten, or more over a short way."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for within in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
        found = [m * 10.0**e for e in range(first, last + 1) for m in within]
        found = [v for v in found if low <= v <= high]
        if len(found) < 2 and len(within) == 9:  # a way too short for round numbers
            inner = (float(f"{low + (high - low) * share:.3g}") for share in (0.1, 0.5, 0.9))
            return tuple(sorted({v for v in inner if low <= v <= high}))
        if len(found) <= min(most, 6):
            return tuple(found)
    step = -(-len(found) // min(most, 8))
    return tuple(found[::step])


def _name(x: float | str) -> str:
    return x if isinstance(x, str) else format(x, "g")


def places(series: Sequence[Series], axis: Axis) -> Places:
    """Return the places of several series along one axis. One name makes all of them names."""
    every = [x for one in series for x in one.x]
    if any(isinstance(x, str) for x in every):
        names = tuple(dict.fromkeys(_name(x) for x in every))
        return Places(axis, names, False, 1.0, (0.0, float(len(names) - 1)))
    found = sorted({v for x in every if not isinstance(x, str)
                    and (v := drawn(x, axis.format, axis.log)) is not None})  # fmt: skip
    gaps = [b - a for a, b in pairwise(found)]
    whole = axis.format == "number" and all(v == int(v) for v in found)
    span = (found[0], found[-1]) if found else (0.0, 1.0)
    return Places(axis, (), whole, min(gaps, default=1.0), span, tuple(found))


def unseen(values: Sequence[Number], axis: Axis) -> int:
    """Return how many values there are that a logarithmic axis cannot show."""
    if not axis.log:
        return 0
    return sum(1 for v in values if v is not None and math.isfinite(v) and v <= 0)


def reach(values: Sequence[Number], axis: Axis, zero: bool = False) -> tuple[float, float]:
    """Return from where to where an axis goes, with some air.

    Args:
        values: What is on it; what cannot be drawn does not count.
        axis: Its ends, where it has them.
        zero: Whether zero belongs to it, as it does under bars.

    Returns:
        The ends in the units in which values are drawn; never the same twice.
    """
    found = [v for value in values if (v := drawn(value, axis.format, axis.log)) is not None]
    fixed = [drawn(end, axis.format, axis.log) for end in (axis.low, axis.high)]
    every = found + [end for end in fixed if end is not None]
    if axis.log:
        low, high = (min(every), max(every)) if every else (1.0, 10.0)
        air = max(1.15, (high / low) ** 0.06)
        return (low / air if low != fixed[0] else low), (high * air if high != fixed[1] else high)
    if zero:
        every.append(0.0)
    low, high = (min(every), max(every)) if every else (0.0, 1.0)
    if low == high == 0:
        return (0.0, 1.0) if zero else (-0.5, 0.5)
    air = 0.07 * (high - low) or max(0.05 * abs(high), 0.5)
    return (
        low if low in (fixed[0], 0.0) and (zero or low == fixed[0]) else low - air,
        high if high in (fixed[1], 0.0) and (zero or high == fixed[1]) else high + air,
    )


def extremes(series: Sequence[Series], axis: Axis) -> list[Number]:
    """Return the values of series and the ends of their errors.

    An error does not stretch an axis beyond the end that it was given: of a share, below zero.
    """
    low = -math.inf if axis.low is None else axis.low
    high = math.inf if axis.high is None else axis.high
    found: list[Number] = []
    for one in series:
        for k, value in enumerate(one.y):
            error = one.error[k] if k < len(one.error) else None
            found.append(value)
            if value is not None and error is not None:
                found += [max(value - error, min(low, value)), min(value + error, max(high, value))]
    return found


def across(x: Places, bars: bool) -> tuple[float, float]:
    """Return from where to where the axis along the bottom goes, in the units that are drawn."""
    if x.names:
        air = 0.6 if len(x.names) > 2 else 0.95  # few bars need not fill the picture
        return x.span[0] - air, x.span[1] + air
    if x.axis.log:
        return reach([v / factor(x.axis.format) for v in x.span], x.axis)
    fixed = [drawn(end, x.axis.format) for end in (x.axis.low, x.axis.high)]
    ends = [*x.span, *(end for end in fixed if end is not None)]
    low, high = min(ends), max(ends)
    if bars and low == high:
        return low - 2.0, high + 2.0  # one bar need not fill the picture
    air = 0.65 * x.least if bars else 0.04 * (high - low) or 0.5
    return low - air, high + air


def legend_names(plot: Bars | Lines | Scatter) -> list[str]:
    """Return what the legend calls each series, the lines over bars last."""
    names = [one.name for one in plot.series]
    if isinstance(plot, Bars):
        names += [one.name + (", at the right" if plot.second else "") for one in plot.lines]
    return names


def marked(plot: Bars | Lines | Scatter) -> list[tuple[Role, str]]:
    """Return the roles of single values that the legend must explain, with their names."""
    every = [*plot.series, *(plot.lines if isinstance(plot, Bars) else ())]
    roles: tuple[tuple[Role, str], ...] = (("golden", "golden layer"), ("chosen", "chosen"))
    return [
        (role, name)
        for role, name in roles
        if any(role in one.marks.values() for one in every)
        and all(one.role != role for one in every)
    ]


def upright(series: Sequence[Series], x: Places) -> bool:
    """Return whether labels over bars are turned: side by side they would not fit."""
    longest = max((len(shortened(t, 20)) for one in series for t in one.labels), default=0)
    n = max(len(x.names), round((x.span[1] - x.span[0]) / x.least) + 1) * len(series)
    return longest * n > 90
