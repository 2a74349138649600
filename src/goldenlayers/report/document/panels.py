"""The grids that a heat map consists of, and the range of their values."""

from __future__ import annotations

from dataclasses import dataclass

from goldenlayers.report.document.look import drawn
from goldenlayers.report.document.plots import Heat


@dataclass(frozen=True)
class Panel:
    """Some rows of a grid: its name, the first row, and the one after the last."""

    name: str
    first: int
    end: int


def panels(heat: Heat) -> list[Panel]:
    """Return the grids that a heat map consists of; one without a name if it has no panels."""
    found: list[Panel] = []
    for name, rows in heat.panels or (("", len(heat.rows)),):
        first = found[-1].end if found else 0
        found.append(Panel(name, first, first + rows))
    return found


def limits(heat: Heat) -> tuple[float, float]:
    """Return the least and the largest value, as drawn, of all panels; never the same twice."""
    values = [v for row in heat.values for x in row if (v := drawn(x, heat.format)) is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
