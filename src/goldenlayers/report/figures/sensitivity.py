"""What LGA's choice depends on: fences, old answers, scope, templates, number of facts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from goldenlayers.report.document.parts import Cell, Item, Table, View
from goldenlayers.report.figures.common import DATA, EDITOR, LGA, MODEL, command_of
from goldenlayers.report.figures.scored import Scored, scored
from goldenlayers.study.run.stored import Compared, StoredStudy

COLUMNS = ("setting", "value", "proxy facts", "layers chosen", "score", "regret", "low", "high")


def sensitivity(study: StoredStudy) -> Item | None:
    """Return the table; None if nothing was tried."""
    views = []
    for model in study.models:
        for editor in study.editors:
            for cell in study.main(model, editor):
                rows = tuple(_rows(study, cell))
                if rows:
                    views.append(_view(study, cell, rows))
    if not views:
        return None
    return Item(
        "sensitivity",
        "What does LGA's choice depend on?",
        "One setting changed at a time, all else as published. Score and regret are those of the "
        "chosen layer on the test facts; regret is cross-fitted, with its 95 % interval over test "
        "facts. With other context templates the edits themselves are others, and so is the truth.",
        tuple(views),
    )


def _view(study: StoredStudy, cell: Compared, rows: tuple[tuple[Cell, ...], ...]) -> View:
    return View(
        {MODEL: cell.model, DATA: cell.data, EDITOR: cell.editor},
        Table(
            COLUMNS,
            rows,
            {"score": "percent", "regret": "points", "low": "points", "high": "points"},
        ),
        note=f"Score: {cell.told['made_of']} of {len(cell.scores.facts)} test facts. "
        + command_of(study),
    )


def _rows(study: StoredStudy, cell: Compared) -> Iterator[tuple[Cell, ...]]:
    tried = study.settings.get("sensitivity")
    plain = scored(study, cell)
    if plain is not None and tried:
        for fence in (*tried["fence"], None):
            layer = plain.choose(plain.each.sum(0), fence)
            yield _row(cell, "fences, IQR", "none" if fence is None else f"{fence:g}", plain, layer)
        for old in tried["old_answer"]:
            if (found := scored(study, cell, old_answer=old)) is not None:
                yield _row(cell, "old answer", old, found, found.choose(found.each.sum(0)))
        for scope in tried["scope"]:
            if (found := scored(study, cell, scope=scope)) is not None:
                yield _row(cell, "scope", scope, found, found.choose(found.each.sum(0)))
    for one in study.of(cell.model, cell.editor):
        if one.data == cell.data and LGA in one.chosen:
            yield _drawn(one, "size of the proxy", str(one.proxy))
    templates = [
        c for c in study.comparisons
        if (c.model, c.data, c.editor) == (cell.model, cell.data, cell.editor)
        and not c.variant.startswith("proxy") and LGA in c.chosen
    ]  # fmt: skip
    if templates:
        own = str(cell.told["settings"]["templates"])
        for one in (cell, *templates):
            kind = str(one.told["settings"]["templates"])
            yield _drawn(one, "templates", kind + (" (as above)" if kind == own else ""))


def _row(cell: Compared, setting: str, value: str, found: Scored, layer: int) -> tuple[Cell, ...]:
    weights = np.array([float(n == layer) for n in cell.layers])
    judge = cell.judge_of(cell.objective)
    regret = judge.regret(weights)
    return (
        setting, value, len(found.each), str(layer), judge.score(weights), regret.mean, regret.low,
        regret.high,
    )  # fmt: skip


def _drawn(cell: Compared, setting: str, value: str) -> tuple[Cell, ...]:
    chosen = cell.chosen[LGA]
    judge = cell.judge_of(cell.objective)
    regret = judge.regret(chosen.weights)
    return (
        setting, value, cell.proxy, " ".join(map(str, chosen.layers)), judge.score(chosen.weights),
        regret.mean, regret.low, regret.high,
    )  # fmt: skip
