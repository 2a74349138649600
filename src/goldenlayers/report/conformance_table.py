"""The table of a conformance check for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from goldenlayers.conformance.result import FAILS, FALLS_BACK, HOLDS, SKIPPED

if TYPE_CHECKING:
    from goldenlayers.conformance.result import Conformance

STYLES = {HOLDS: "green", FALLS_BACK: "yellow", FAILS: "bold red", SKIPPED: "dim"}


def conformance_table(found: Conformance) -> Table:
    """Return one row per check: what it found, the details, the time."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("check", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("measured", overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    for check in found.checks:
        status = check.found.status
        table.add_row(
            check.name,
            f"[{STYLES[status]}]{status}[/]",
            escape(check.found.detail),
            f"{check.seconds:.1f} s",
        )
    return table


def conformance_lines(found: Conformance) -> Iterator[str]:
    """Yield what the table says in all, in lines of rich markup."""
    count = {s: sum(c.found.status == s for c in found.checks) for s in STYLES}
    model = found.model
    what = f"{model.get('architecture')} in {model.get('dtype')} on {model.get('device')}"
    if count[FAILS]:
        names = ", ".join(c.name for c in found.checks if c.found.status == FAILS)
        yield (
            f"[bold red]{count[FAILS]} of {len(found.checks)} checks fail[/] on {escape(what)}: "
            f"{names}"
        )
        yield (
            "[dim]Results of golden-layers on this model are not to be trusted where a check "
            "fails. A wider --dtype may help; otherwise please report the table.[/]"
        )
    else:
        yield f"[bold green]golden-layers works[/] on {escape(what)}"
    if count[FALLS_BACK]:
        yield "[dim]falls back: a slower way is taken for this model, and its results are right.[/]"
    yield (
        "[dim]Errors are relative to the largest value of the slow reference. This says that the "
        "arithmetic is right, nothing about how good a layer or an edit is.[/]"
    )
