"""Choices of one data set judged on others, as square tables for the terminal and for documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from goldenlayers.report.comparison_table import points

if TYPE_CHECKING:
    from goldenlayers.study.transfer import Cell, Transfer


def transfer_table(found: Transfer, method: str) -> Table:
    """Return the square table of a method: a row per data set chosen on, a column per judge."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in header(found):
        table.add_column(escape(name), no_wrap=True)
    for row in rows(found, method):
        table.add_row(*map(escape, row))
    return table


def header(found: Transfer) -> list[str]:
    """Return the names of the columns."""
    return ["chosen on", "layer", *found.data_sets]


def rows(found: Transfer, method: str) -> list[list[str]]:
    """Return the cells of a method's table as text, row by row."""
    names = list(found.data_sets)
    cells = found.methods[method]
    out = []
    for i, name in enumerate(names):
        row = cells[i * len(names) : (i + 1) * len(names)]
        layers = Counter(row[0].layers)
        drawn = ", ".join(f"{n} ×{c}" if c > 1 else str(n) for n, c in sorted(layers.items()))
        out.append([name, drawn, *map(_cell, row)])
    return out


def transfer_lines(found: Transfer) -> Iterator[str]:
    """Yield what the numbers mean, in lines of rich markup."""
    for name, told in found.data_sets.items():
        yield (
            f"[dim]{escape(name)}: {told['test_facts']} test facts, best layer {told['golden']} "
            f"({100 * told['best']:.1f}), {escape(told['objective'])}[/]"
        )
    for method in found.methods:
        mean = found.mean_difference(method)
        yield f"{escape(method)}: a layer chosen on another data set costs {_cost(mean)}"
    yield (
        "[dim]Each cell: score on the column's test facts of the layer that was chosen on the "
        "row's proxy facts; in brackets the difference in points from the layer chosen on the "
        "column's own proxy facts, ± standard error over test facts. A dash: not edited "
        "there.[/]"
    )


def _cell(cell: Cell) -> str:
    if cell.score is None:
        return "–"
    text = f"{100 * cell.score:.1f}"
    if cell.chosen_on == cell.judged_on:
        return text
    error = "" if cell.standard_error is None else f" ± {100 * cell.standard_error:.1f}"
    return f"{text} ({points(cell.difference)}{error})"


def _cost(mean: float | None) -> str:
    if mean is None:
        return "an unknown number of points: none was edited there"
    return f"{-100 * mean:+.1f} points on average over the pairs (negative: it gains)"
