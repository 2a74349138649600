"""What a study has to do, and how long it will take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from goldenlayers.sweep.run import duration

if TYPE_CHECKING:
    from goldenlayers.study.run.run import Planned
    from goldenlayers.study.run.settings import ModelSpec

DOES = {
    "comparisons": "edit at every layer, choose, judge",
    "rankings": "LGA on all proxy facts",
    "traces": "causal tracing, one fact at every token",
    "edits": "texts before and after, side effects",
    "times": "time the ways to choose",
}


def plan_table(model: ModelSpec, planned: Sequence[Planned]) -> Table:
    """Return a row per kind of work and data set, and the sum.

    Args:
        model: The model.
        planned: Its pieces.
    """
    table = Table(title=f"the study of {escape(model.title)}", title_justify="left")
    table.add_column("work")
    table.add_column("facts")
    for name in ("pieces", "done", "to do, about"):
        table.add_column(name, justify="right")
    groups: dict[tuple[str, str], list[Planned]] = {}
    for one in planned:
        data = one.piece.data.title if one.piece.data is not None else ""
        groups.setdefault((one.piece.kind, data), []).append(one)
    for (kind, data), ones in groups.items():
        done = sum(p.done for p in ones)
        table.add_row(DOES[kind], escape(data), str(len(ones)), str(done), _left(ones))
    table.add_section()
    done = sum(p.done for p in planned)
    table.add_row("all", "", str(len(planned)), str(done), _left(planned), style="bold")
    return table


def _left(planned: Sequence[Planned]) -> str:
    left = [p.seconds for p in planned if not p.done]
    return duration(sum(left)) if left else "–"
