"""Figures 1 and 5: what fixed layers give, beside each fact's own best one."""

from __future__ import annotations

from goldenlayers.report.document.parts import Item, View
from goldenlayers.report.document.plots import Role, Series
from goldenlayers.report.figures.common import LGA, State, score_bars, states
from goldenlayers.study.run.stored import Compared, StoredStudy

BRUTE = "brute-force"
ROWS: tuple[tuple[str, Role], ...] = (
    ("chosen on the proxy by real edits", "first"),
    ("chosen on the proxy by LGA", "second"),
    ("best fixed layer of the test facts", "golden"),
    ("each fact's own best layer", "muted"),
)


def performance(study: StoredStudy) -> Item:
    """Return the figure."""
    return Item(
        "test-performance",
        "Is one fixed layer enough?",
        "Mean score of the test facts when all are edited at one layer: the layer that was chosen "
        "on the proxy facts, and the layer that is best on the test facts themselves, which nobody "
        "can know beforehand. Beside them, every fact edited at its own best layer. The closer the "
        "bars, the less is lost by a fixed layer (figures 1 and 5 of the paper). Lines: one "
        "standard error over test facts.",
        tuple(_view(study, state) for state in states(study)),
    )


def _view(study: StoredStudy, state: State) -> View:
    rows = []
    series = []
    for name, role in ROWS:
        x, y, errors = [], [], []
        for cell in state.cells:
            found = _value(cell, name, state.score)
            if found is None:
                continue
            value, error, layers = found
            rows.append((cell.data, name, layers, value, error))
            x.append(cell.data)
            y.append(value)
            errors.append(error)
        if x:
            series.append(Series(name, tuple(x), tuple(y), tuple(errors), role=role))
    return score_bars(study, state, "layer", rows, series)


def _value(cell: Compared, name: str, score: str) -> tuple[float, float | None, str] | None:
    if name == ROWS[3][0]:
        return *cell.own_best(score), "each its own"
    if name == ROWS[2][0]:
        by_layer = cell.scores.by_layer(score)
        best = int(by_layer.argmax())
        weights = by_layer * 0.0
        weights[best] = 1.0
        return *cell.at(weights, score), str(cell.layers[best])
    chosen = cell.chosen.get(BRUTE if name == ROWS[0][0] else LGA)
    if chosen is None:
        return None
    return *cell.at(chosen.weights, score), " ".join(map(str, chosen.layers))
