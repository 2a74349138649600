"""Figure 2: how much every layer loses against the best one, on every data set."""

from __future__ import annotations

from goldenlayers.report.document.parts import Item, Table, View
from goldenlayers.report.document.plots import Heat
from goldenlayers.report.figures.common import (
    DATA,
    EDITOR,
    LGA,
    MODEL,
    SCORE,
    State,
    note_of,
    states,
)
from goldenlayers.report.figures.performance import BRUTE
from goldenlayers.study.run.stored import StoredStudy
from goldenlayers.sweep.objective import ties


def deviation(study: StoredStudy) -> Item:
    """Return the figure; models side by side."""
    every: dict[tuple[str, str], list[State]] = {}
    for state in states(study):
        every.setdefault((state.editor, state.score), []).append(state)
    return Item(
        "deviation-by-layer",
        "Which layers are golden, and is it the same everywhere?",
        "How far each layer's score on the test facts lies from that of the best layer: light is "
        "good. Marks are on the best layers, all of them where several tie. Gold frames are the "
        "layers that were chosen on the proxy facts (by real edits where the study made them, else "
        "by LGA), over all draws (figure 2 of the paper).",
        tuple(
            _view(study, editor, score, tuple(models)) for (editor, score), models in every.items()
        ),
    )


def _view(study: StoredStudy, editor: str, score: str, models: tuple[State, ...]) -> View:
    layers = sorted({n for m in models for c in m.cells for n in c.layers})
    names: list[str] = []
    rows, values, panels = [], [], []
    optimal, golden = set(), set()
    for state in models:
        panels.append((state.model, len(state.cells)))
        for cell in state.cells:
            at = len(names)
            by_layer = cell.scores.by_layer(score)
            best = [cell.layers[i] for i in ties(by_layer)]
            by = cell.chosen.get(BRUTE) or cell.chosen.get(LGA)
            chosen = set(by.layers) if by is not None else set()
            apart = dict(zip(cell.layers, (by_layer.max() - by_layer).tolist(), strict=True))
            names.append(cell.data)
            values.append(tuple(apart.get(n) for n in layers))
            optimal |= {(at, layers.index(n)) for n in best}
            golden |= {(at, layers.index(n)) for n in chosen}
            rows += [
                (state.model, cell.data, n, value, apart[n], n in best, n in chosen)
                for n, value in zip(cell.layers, by_layer.tolist(), strict=True)
            ]
    cells = tuple(c for m in models for c in m.cells)
    return View(
        {EDITOR: editor, SCORE: score},
        Table(
            (MODEL, DATA, "layer", score, "points from the best", "best", "chosen on the proxy"),
            tuple(rows),
            {score: "percent", "points from the best": "points"},
        ),
        Heat(
            tuple(names),
            tuple(map(str, layers)),
            tuple(values),
            frozenset(optimal),
            frozenset(golden),
            x="layer",
            y=DATA,
            format="points",
            scale=f"{score}: points from the best layer",
            panels=tuple(panels) if len(panels) > 1 else (),
        ),
        note_of(study, cells),
    )
