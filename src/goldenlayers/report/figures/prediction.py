"""Does the prediction follow the truth? Score and test score by layer, on one axis."""

from __future__ import annotations

import numpy as np

from goldenlayers.locators.fences import Floats
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.report.document.parts import Item, Table, View
from goldenlayers.report.document.plots import Axis, Bars, Role, Series
from goldenlayers.report.figures.common import DATA, EDITOR, MODEL, SCORE, note_of
from goldenlayers.study.run.stored import Compared, StoredStudy

BY = "prediction"


def prediction(study: StoredStudy) -> Item:
    """Return the figure."""
    views = []
    for model in study.models:
        for editor in study.editors:
            for cell in study.main(model, editor):
                for name, ranking in _rankings(study, cell).items():
                    views += [_view(study, cell, name, ranking, score) for score in cell.names]
    return Item(
        "prediction-and-truth",
        "Does the prediction follow the truth?",
        "Bars: mean score of the test facts edited at each layer, the best in gold. Line: what was "
        "predicted without an edit, on its own axis at the right; layers outside the fences, which "
        "may not be chosen, are pale. Where the line rises with the bars, the prediction is worth "
        "something.",
        tuple(views),
    )


def _rankings(study: StoredStudy, cell: Compared) -> dict[str, LayerRanking]:
    found = {}
    lga = study.rankings.get((cell.model, cell.data, "site", "record"))
    if lga is not None:
        found["LGA"] = lga
    cma = study.traces.get((cell.model, cell.data))
    if cma is not None:
        found["CMA"] = cma
    return found


def _view(study: StoredStudy, cell: Compared, name: str, ranking: LayerRanking, score: str) -> View:
    by_layer = cell.scores.by_layer(score).tolist()
    errors = cell.scores.standard_errors(score).tolist()
    best = max(range(len(by_layer)), key=lambda i: (by_layer[i], -i))
    ranked = {s.layer: s for s in ranking.layers}
    predicted = [s.score if (s := ranked.get(n)) is not None else None for n in cell.layers]
    marks: dict[int, Role] = {}
    for i, n in enumerate(cell.layers):
        if n == ranking.golden:
            marks[i] = "chosen"
        elif (s := ranked.get(n)) is None or s.rank is None:
            marks[i] = "muted"
    follows = cell.judge_of(score).rank_correlation(_array(predicted))
    told = "" if follows is None else f"Spearman's rank correlation over layers: {follows:.2f}. "
    rows = tuple(
        (n, value, error, guess, i not in marks or marks[i] == "chosen")
        for i, (n, value, error, guess) in enumerate(
            zip(cell.layers, by_layer, errors, predicted, strict=True)
        )
    )
    layers = tuple(map(float, cell.layers))
    return View(
        {MODEL: cell.model, DATA: cell.data, EDITOR: cell.editor, BY: name, SCORE: score},
        Table(
            ("layer", score, "standard error", f"{name}'s score", "may be chosen"),
            rows,
            {score: "percent", "standard error": "percent"},
        ),
        Bars(
            (
                Series(
                    f"{score} after edits there", layers, tuple(by_layer), tuple(errors),
                    role="other", marks={best: "golden"},
                ),
            ),
            Axis("layer"),
            Axis(f"{score} on the test facts", "percent", low=0.0, high=1.0),
            (Series(f"{name}'s score", layers, tuple(predicted), role="first", marks=marks),),
            Axis(ranking.axis),
        ),
        f"{name} on {len(ranking.answers)} proxy facts chose layer {ranking.golden}. {told}"
        + note_of(study, (cell,)),
    )  # fmt: skip


def _array(values: list[float | None]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], dtype=float)
