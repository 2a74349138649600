"""What a figure shows, without a word on how it is drawn.

Four kinds of plot are enough for every figure of a study. `static` draws them with matplotlib, for
PNG and SVG, and `interactive` with plotly, for the page: one description, so that the two cannot
tell different things.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Number = float | int | None
Format = Literal["percent", "points", "seconds", "number"]
"""How values are written. "percent" and "points" take shares of one: 0.5 is 50 % or 50 points."""

Role = Literal["golden", "chosen", "other", "muted", "first", "second", "third", "fourth", "fifth"]
"""What a series is, which decides its colour and mark; see `goldenlayers.report.document.look`."""


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        title: What it shows, with the unit.
        format: How its values are written.
        log: Whether it is logarithmic.
        low: Where it begins at the latest; None leaves it to the data.
        high: Where it ends at the earliest.
    """

    title: str
    format: Format = "number"
    log: bool = False
    low: Number = None
    high: Number = None


@dataclass(frozen=True)
class Series:
    """Values along an axis, one per place.

    Attributes:
        name: In the legend; text of users may stand here and is never markup.
        x: Where: numbers, or names of groups.
        y: The values; None where there is none.
        error: One standard error of each; empty for none.
        labels: Text beside or over each point (a layer's number, say); empty for none.
        role: What the series is.
        marks: Role by position, where single values differ from the series (the golden layer).
        dashed: Drawn dashed, or hatched: a value that was extrapolated.
    """

    name: str
    x: tuple[float | str, ...]
    y: tuple[Number, ...]
    error: tuple[Number, ...] = ()
    labels: tuple[str, ...] = ()
    role: Role = "first"
    marks: dict[int, Role] = field(default_factory=dict)
    dashed: bool = False


@dataclass(frozen=True)
class Bars:
    """Bars side by side, grouped by x; `line` draws further series over them.

    Attributes:
        series: One colour each.
        x: Along the bottom; its format has no say where x are names.
        y: Upwards.
        lines: Drawn over the bars, on the same axes.
        second: The axis of `lines`, at the right, if it is not `y`.
    """

    series: tuple[Series, ...]
    x: Axis
    y: Axis
    lines: tuple[Series, ...] = ()
    second: Axis | None = None


@dataclass(frozen=True)
class Lines:
    """Lines with marks at their points."""

    series: tuple[Series, ...]
    x: Axis
    y: Axis


@dataclass(frozen=True)
class Scatter:
    """Points alone, with their labels."""

    series: tuple[Series, ...]
    x: Axis
    y: Axis


@dataclass(frozen=True)
class Heat:
    """A grid of colours.

    Attributes:
        rows: Names of the rows, the first on top.
        columns: Names of the columns.
        values: One row of numbers per name; None stays empty.
        optimal: Cells (row, column) that carry a mark: the best ones.
        golden: Cells that are framed in gold: the chosen ones.
        x: Title of the columns.
        y: Title of the rows.
        format: How values are written.
        scale: Title of the colours.
        panels: Names of several grids side by side and the number of rows of each, in order; empty
            for one. With them, a name may stand in `rows` more than once.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[Number, ...], ...]
    optimal: frozenset[tuple[int, int]] = frozenset()
    golden: frozenset[tuple[int, int]] = frozenset()
    x: str = ""
    y: str = ""
    format: Format = "number"
    scale: str = ""
    panels: tuple[tuple[str, int], ...] = ()


Plot = Bars | Lines | Scatter | Heat
