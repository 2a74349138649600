"""How sure LGA's choice is, by the number of proxy facts."""

from __future__ import annotations

import numpy as np

from goldenlayers.locators.fences import Floats
from goldenlayers.report.document.parts import Item, Table, View
from goldenlayers.report.document.plots import Axis, Lines, Series
from goldenlayers.report.figures.common import DATA, EDITOR, MODEL, command_of
from goldenlayers.report.figures.scored import Scored, scored
from goldenlayers.study.judge import NEAR
from goldenlayers.study.run.stored import Compared, StoredStudy

SIZES = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200)
DRAWS = 500


def wins(study: StoredStudy) -> Item | None:
    """Return the figure; None where LGA did not score facts one by one."""
    views = []
    for model in study.models:
        for editor in study.editors:
            for cell in study.main(model, editor):
                found = scored(study, cell)
                if found is not None and len(found.each) > 1:
                    views.append(_view(study, cell, found))
    if not views:
        return None
    return Item(
        "wins-by-proxy-size",
        "How many facts does LGA need?",
        f"{DRAWS} random sets of proxy facts of each size, fences drawn anew each time. How often "
        "LGA chooses the layer that it chooses on all proxy facts, and how often one that is best "
        "on the test facts, or within a point of it. The first line always ends at one: it says "
        "how settled the choice is, not how good.",
        tuple(views),
    )


def _view(study: StoredStudy, cell: Compared, found: Scored) -> View:
    judge = cell.judge_of(cell.objective)
    n = len(found.each)
    sizes = [s for s in SIZES if s < n] + [n]
    whole = found.choose(found.each.sum(0))
    rows = []
    for size in sizes:
        chosen = _choices(found, size, int(study.settings["seed"]))
        weights = np.array([np.mean(chosen == layer) for layer in cell.layers])
        rows.append(
            (size, float(np.mean(chosen == whole)), judge.hit(weights), judge.hit(weights, NEAR),
             judge.score(weights), judge.regret(weights).mean)
        )  # fmt: skip
    names = ("the same as on all facts", "a best layer of the test facts", "within a point of it")
    x = tuple(float(s) for s in sizes)
    return View(
        {MODEL: cell.model, DATA: cell.data, EDITOR: cell.editor},
        Table(
            ("proxy facts", *names, cell.objective, "regret"),
            tuple(rows),
            {**dict.fromkeys((*names, cell.objective), "percent"), "regret": "points"},
        ),
        Lines(
            (
                Series(names[0], x, tuple(r[1] for r in rows), role="muted"),
                Series(names[1], x, tuple(r[2] for r in rows), role="golden"),
                Series(names[2], x, tuple(r[3] for r in rows), role="second"),
            ),
            Axis("proxy facts", log=True),
            Axis("share of the draws", "percent", low=0.0, high=1.0),
        ),
        f"{n} proxy facts scored, {len(cell.scores.facts)} test facts. {command_of(study)}",
    )


def _choices(found: Scored, size: int, seed: int) -> Floats:
    """Return the layer that LGA chooses on each of many sets of facts."""
    rng = np.random.default_rng(seed)
    n = len(found.each)
    return np.array(
        [found.choose(found.each[rng.permutation(n)[:size]].sum(0)) for _ in range(DRAWS)]
    )
