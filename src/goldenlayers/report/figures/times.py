"""Figure 4: what each way to choose costs, by length of the query and number of facts."""

from __future__ import annotations

from typing import Any

from goldenlayers.report.document.parts import Item, Table, View
from goldenlayers.report.document.plots import Axis, Lines, Role, Series
from goldenlayers.report.figures.common import MODEL, command_of, title_of
from goldenlayers.study.run.stored import StoredStudy
from goldenlayers.study.run.timed import FAST, PLAIN

ROLES: dict[str, Role] = {"lga": "second", "cma": "third", FAST: "first", PLAIN: "muted"}
COLUMNS = ("tokens of a prompt", "facts", "way", "seconds", "times faster than the plain loop",
           "times faster than the growing batch", "measured on")  # fmt: skip


def times(study: StoredStudy) -> tuple[Item, ...]:
    """Return the two figures; none if nothing was timed."""
    if not study.times:
        return ()
    by_length, by_number = [], []
    for model, told in study.times.items():
        rows = told["rows"]
        sizes = sorted({r["facts"] for r in rows})
        lengths = sorted({r["tokens"] for r in rows})
        note = f"On {told['device']}. Dashed: extrapolated, see the table. {command_of(study)}"
        for size in sizes[::-1]:
            some = [r for r in rows if r["facts"] == size]
            choice = {MODEL: model, "facts": f"{size}"}
            axis = Axis("average length of a prompt, tokens")
            by_length.append(View(choice, _table(some), _lines(some, "tokens", axis), note))
        for length in lengths:
            some = [r for r in rows if r["tokens"] == length]
            choice = {MODEL: model, "tokens of a prompt": f"{length:.0f}"}
            axis = Axis("proxy facts", log=True)
            by_number.append(View(choice, _table(some), _lines(some, "facts", axis), note))
    says = (
        "Seconds to choose a layer. Brute force edits every fact at every layer, by the growing "
        "batch or by the plain loop over facts and layers; it is measured on few facts and in "
        "proportion on more, which is marked (figure 4 of the paper)."
    )
    return (
        Item("time-by-length", "What does a choice cost, by length?", says, tuple(by_length)),
        Item(
            "time-by-facts", "What does a choice cost, by number of facts?", says, tuple(by_number)
        ),
    )


def _lines(rows: list[dict[str, Any]], along: str, axis: Axis) -> Lines:
    series = []
    for method, role in ROLES.items():
        mine = sorted((r for r in rows if r["method"] == method), key=lambda r: float(r[along]))
        if mine:
            series.append(
                Series(
                    title_of(method),
                    tuple(float(r[along]) for r in mine),
                    tuple(float(r["seconds"]) for r in mine),
                    role=role,
                    dashed=not all(r["measured"] for r in mine),
                )
            )
    return Lines(tuple(series), axis, Axis("seconds", "seconds", log=True))


def _table(rows: list[dict[str, Any]]) -> Table:
    found = []
    for row in rows:
        same = {r["method"]: float(r["seconds"]) for r in rows
                if (r["tokens"], r["facts"]) == (row["tokens"], row["facts"])}  # fmt: skip
        own = float(row["seconds"])
        basis = str(row["basis"]) + ("" if row["measured"] else ", extrapolated")
        found.append(
            (round(float(row["tokens"]), 1), int(row["facts"]), title_of(row["method"]), own,
             same[PLAIN] / own, same[FAST] / own, basis)
        )  # fmt: skip
    return Table(COLUMNS, tuple(found), {"seconds": "seconds"})
