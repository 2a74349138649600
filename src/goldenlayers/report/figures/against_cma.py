"""Figure 3: LGA against causal tracing, and against the layer that people copy."""

from __future__ import annotations

from goldenlayers.report.document.parts import Item, View
from goldenlayers.report.document.plots import Role, Series
from goldenlayers.report.figures.common import LGA, State, copied, score_bars, states, title_of
from goldenlayers.study.run.stored import StoredStudy

CMA = "cma"


def against_cma(study: StoredStudy) -> Item:
    """Return the figure."""
    return Item(
        "lga-against-cma",
        "Gradients or causal tracing?",
        "Mean score of the test facts at the layer that each way chose on the proxy facts, mean "
        "over draws; the third bar is the layer that people copy from a settings file (figure 3 of "
        "the paper). Lines: one standard error over test facts.",
        tuple(_view(study, state) for state in states(study)),
    )


def _view(study: StoredStudy, state: State) -> View:
    roles: dict[str, Role] = {LGA: "second", CMA: "third"}
    methods = [
        m for m in (LGA, CMA, *copied(state.cells)) if any(m in c.chosen for c in state.cells)
    ]
    series, rows = [], []
    for method in methods:
        x, y, errors = [], [], []
        for cell in state.cells:
            if (chosen := cell.chosen.get(method)) is None:
                continue
            value, error = cell.at(chosen.weights, state.score)
            x.append(cell.data)
            y.append(value)
            errors.append(error)
            layers = " ".join(map(str, chosen.layers))
            rows.append((cell.data, title_of(method), layers, value, error))
        role = roles.get(method, "muted")
        series.append(Series(title_of(method), tuple(x), tuple(y), tuple(errors), role=role))
    return score_bars(study, state, "chosen by", rows, series)
