"""Every score by model, data set, editor and way to choose; and choices carried elsewhere."""

from __future__ import annotations

import numpy as np

from goldenlayers.report.document.parts import Cell, Item, Table, View
from goldenlayers.report.document.plots import Format, Heat
from goldenlayers.report.figures.common import DATA, EDITOR, MODEL, command_of, title_of
from goldenlayers.study.run.stored import Compared, StoredStudy

NAMES = ("rewrite", "rephrase", "locality", "portability", "mean")
WAY = "chosen by"


def scores(study: StoredStudy) -> Item:
    """Return the table of all scores."""
    views = []
    for model in study.models:
        rows: list[tuple[Cell, ...]] = []
        for editor in study.editors:
            for cell in study.main(model, editor):
                rows += _rows(cell)
        columns = (DATA, EDITOR, WAY, "layers", *(c for n in NAMES for c in (n, f"± {n}")),
                   "regret", "low", "high")  # fmt: skip
        formats: dict[str, Format] = {
            **{c: "percent" for n in NAMES for c in (n, f"± {n}")},
            **dict.fromkeys(("regret", "low", "high"), "points"),
        }
        views.append(View({MODEL: model}, Table(columns, tuple(rows), formats), None,
                          command_of(study)))  # fmt: skip
    return Item(
        "scores",
        "Every score",
        "Means over test facts at the layers that each way chose on the largest proxy sets, mean "
        "over draws, each with one standard error over test facts. Regret: points lost in the "
        "study's objective against the best layer, cross-fitted, with its 95 % interval.",
        tuple(views),
    )


def _rows(cell: Compared) -> list[tuple[Cell, ...]]:
    judge = cell.judge_of(cell.objective)
    rows: list[tuple[Cell, ...]] = []
    best = np.zeros(len(cell.layers))
    best[judge.golden] = 1.0
    ways = [(title_of(m), c.weights, " ".join(map(str, c.layers))) for m, c in cell.chosen.items()]
    for name, weights, layers in (
        *ways,
        ("best of the test facts", best, str(cell.told["golden"])),
    ):
        row: list[Cell] = [cell.data, cell.editor, name, layers]
        for score in NAMES:
            row += cell.at(weights, score) if score in cell.names else (None, None)
        if weights is best:
            row += [None, None, None]
        else:
            regret = judge.regret(weights)
            row += [regret.mean, regret.low, regret.high]
        rows.append(tuple(row))
    return rows


def elsewhere(study: StoredStudy) -> Item | None:
    """Return choices of one data set judged on the others; None with a single one."""
    views = []
    for model in study.models:
        for editor in study.editors:
            cells = study.main(model, editor)
            methods = [m for m in dict.fromkeys(m for c in cells for m in c.chosen)
                       if not m.startswith(("middle", "random", "fixed"))]  # fmt: skip
            for method in methods:
                some = [c for c in cells if method in c.chosen]
                if len(some) > 1:
                    views.append(_square(study, model, editor, method, some))
    if not views:
        return None
    return Item(
        "elsewhere",
        "Does a layer that was chosen on one data set hold on another?",
        "Each row is where the layer was chosen, each column where it is judged: points that it "
        "loses there against the layer that the same way chose on that data set itself. Empty: the "
        "layer was not edited there.",
        tuple(views),
    )


def _square(
    study: StoredStudy, model: str, editor: str, method: str, cells: list[Compared]
) -> View:
    rows, values = [], []
    for one in cells:
        line = []
        for other in cells:
            here = one.chosen[method].layers
            lost = error = None
            if set(here) <= set(other.layers):
                counts = np.array([here.count(n) for n in other.layers], dtype=float)
                weights = other.chosen[method].weights - counts / counts.sum()
                lost, error = other.at(weights, other.objective)
            line.append(lost)
            rows.append((one.data, other.data, " ".join(map(str, here)), lost, error))
        values.append(tuple(line))
    names = tuple(c.data for c in cells)
    return View(
        {MODEL: model, EDITOR: editor, WAY: title_of(method)},
        Table(
            ("chosen on", "judged on", "layers", "points lost", "standard error"),
            tuple(rows),
            {"points lost": "points", "standard error": "points"},
        ),
        Heat(
            names, names, tuple(values), x="judged on", y="chosen on", format="points",
            scale="points lost",
        ),
        command_of(study),
    )  # fmt: skip
