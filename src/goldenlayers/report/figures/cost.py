"""What a choice is worth against what it costs: the Pareto picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, stdev

from goldenlayers.report.document.parts import Item, Table, View
from goldenlayers.report.document.plots import Axis, Role, Scatter, Series
from goldenlayers.report.figures.common import DATA, EDITOR, MODEL, command_of, title_of
from goldenlayers.study.run.stored import Compared, StoredStudy

ROLES: tuple[Role, ...] = ("second", "first", "third", "fourth", "fifth", "other", "muted")
FREE = 1e-5  # of a sweep: methods that compute nothing are drawn here, a logarithm has no zero
EVERY = "all"


def cost(study: StoredStudy) -> Item:
    """Return the figure."""
    views = []
    for model in study.models:
        for editor in study.editors:
            cells = list(study.of(model, editor))
            names = [d for d in study.data if any(c.data == d for c in cells)]
            for data in [EVERY, *names] if len(names) > 1 else names:
                some = [c for c in cells if data in (EVERY, c.data)]
                if some:
                    views.append(_view(study, model, editor, data, some))
    return Item(
        "regret-against-cost",
        "What is a choice worth, and what does it cost?",
        "Points that the chosen layer loses against the best one (cross-fitted, so that it may be "
        "under zero) against the time of the choice, as a share of brute force on the same proxy "
        "facts. Towards the lower left is better. One point for each size of the proxy; of all "
        "data sets their mean (lines: one standard error over data sets). The oracle floor in the "
        "table is the regret of brute force itself on as few facts: nothing can be expected to do "
        "better.",
        tuple(views),
    )


def _view(study: StoredStudy, model: str, editor: str, data: str, cells: list[Compared]) -> View:
    methods = list(dict.fromkeys(m for c in cells for m in c.chosen))
    series, rows = [], []
    for n, method in enumerate(methods):
        points: dict[int, list[tuple[float, float]]] = {}  # by size of the proxy: share, regret
        for cell in cells:
            if (chosen := cell.chosen.get(method)) is None:
                continue
            regret = cell.judge_of(cell.objective).regret(chosen.weights)
            share, seconds = chosen.mean("relative"), chosen.mean("seconds")
            floor = cell.told["floor"]
            rows.append(
                (cell.data, cell.proxy, title_of(method), " ".join(map(str, chosen.layers)),
                 regret.mean, regret.low, regret.high, None if floor is None else floor["mean"],
                 share, seconds)
            )  # fmt: skip
            if share is not None:
                points.setdefault(cell.proxy, []).append((max(share, FREE), regret.mean))
        if points:
            sizes = sorted(points)
            series.append(
                Series(
                    title_of(method),
                    # shares differ by factors: their geometric mean
                    tuple(math.exp(fmean(math.log(s) for s, _ in points[k])) for k in sizes),
                    tuple(fmean(r for _, r in points[k]) for k in sizes),
                    error=tuple(_error([r for _, r in points[k]]) for k in sizes),
                    labels=tuple(map(str, sizes)),
                    role=ROLES[n % len(ROLES)],
                )
            )
    sets = Counter(cell.proxy for cell in cells)
    over = ", ".join(f"{k} facts: {sets[k]}" for k in sorted(sets))
    return View(
        {MODEL: model, EDITOR: editor, DATA: data},
        Table(
            (DATA, "proxy facts", "chosen by", "layers", "regret", "low", "high", "oracle floor",
             "share of brute force", "seconds"),
            tuple(rows),
            {"regret": "points", "low": "points", "high": "points", "oracle floor": "points",
             "share of brute force": "percent", "seconds": "seconds"},
        ),
        Scatter(
            tuple(series),
            Axis("time, as a share of brute force on the same facts", "percent", log=True),
            Axis(f"regret in {cells[0].objective}, points", "points"),
        ),
        "A point's number is the size of the proxy. Ways that compute nothing stand at the left "
        f"end. Data sets by size of the proxy: {over}. {command_of(study)}",
    )  # fmt: skip


def _error(values: Sequence[float]) -> float | None:
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
