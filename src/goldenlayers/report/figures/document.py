"""The report of a study, put together from its figures."""

from __future__ import annotations

from pathlib import Path

from goldenlayers.report.document.parts import Document, Item, Section
from goldenlayers.report.figures.against_cma import against_cma
from goldenlayers.report.figures.card import card
from goldenlayers.report.figures.common import LGA, title_of
from goldenlayers.report.figures.cost import cost
from goldenlayers.report.figures.deviation import deviation
from goldenlayers.report.figures.performance import performance
from goldenlayers.report.figures.prediction import prediction
from goldenlayers.report.figures.sensitivity import sensitivity
from goldenlayers.report.figures.stories import side_effects, stories, tasks
from goldenlayers.report.figures.tables import elsewhere, scores
from goldenlayers.report.figures.times import times
from goldenlayers.report.figures.traces import traces
from goldenlayers.report.figures.wins import wins
from goldenlayers.results import DAMAGE, damaged
from goldenlayers.study.run.stored import Compared, StoredStudy, load_study
from goldenlayers.sweep.run import duration


def read_document(folder: Path) -> Document:
    """Return the report of a study's folder, which somebody else may have written.

    Raises:
        ResultError: If it holds no study, or a part of it is missing or damaged.
    """
    study = load_study(folder)
    try:
        return document_of(study)
    except DAMAGE as error:
        raise damaged(folder, error) from error


def document_of(study: StoredStudy) -> Document:
    """Return a study's report. The same study gives the same document."""
    sections = (
        Section("golden", "Golden layers", items=(performance(study), deviation(study))),
        Section(
            "choosing", "Choosing a layer",
            items=_there(against_cma(study), prediction(study), cost(study), wins(study)),
        ),
        Section("time", "What it costs", items=times(study)),
        Section(
            "tables", "Tables", items=_there(scores(study), sensitivity(study), elsewhere(study))
        ),
        Section(
            "edits", "The edits themselves",
            items=_there(traces(study), side_effects(study), tasks(study)),
            stories=stories(study),
        ),
    )  # fmt: skip
    return Document(
        str(study.index["name"]),
        _summary(study),
        tuple(_findings(study)),
        tuple(s for s in sections if s.items or s.stories),
        card(study),
    )


def _there(*items: Item | None) -> tuple[Item, ...]:
    return tuple(item for item in items if item is not None and item.views)


def _summary(study: StoredStudy) -> tuple[tuple[str, str], ...]:
    edits = sum(len(c.scores.facts) * len(c.layers) for c in study.comparisons
                if c in _largest(study))  # fmt: skip
    told = [
        ("models", ", ".join(study.models)),
        ("data sets", ", ".join(_data(study, name) for name in study.data)),
        ("editors", ", ".join(study.editors)),
        ("edits of test facts", f"{edits:,}"),
        ("work", duration(study.seconds)),
        ("made by", str(study.index.get("command") or "")),
        ("golden-layers", str(study.index["versions"].get("golden-layers", ""))),
    ]
    if study.index.get("left_out"):
        told.insert(2, ("left out", ", ".join(study.index["left_out"])))
    return tuple((label, value) for label, value in told if value)


def _data(study: StoredStudy, name: str) -> str:
    told = study.index["data"][name]
    selection = ", ".join(told.get("selection") or [])
    return f"{name} ({selection})" if selection else name


def _largest(study: StoredStudy) -> list[Compared]:
    return [c for m in study.models for e in study.editors for c in study.main(m, e)]


def _findings(study: StoredStudy) -> list[str]:
    """Return a sentence per model and editor: what the choices lost, against the alternatives."""
    found = []
    for model in study.models:
        for editor in study.editors:
            cells = study.main(model, editor)
            if not cells:
                continue
            golden = "; ".join(f"{c.data} {c.told['golden']}" for c in cells)
            found.append(f"{model}, {editor}: best layers on the test facts: {golden}.")
            methods = list(dict.fromkeys(m for c in cells for m in c.chosen))
            if LGA in methods:
                lost = [f"{title_of(m)} {_mean_regret(cells, m)}" for m in methods]
                found.append(
                    f"{model}, {editor}: points lost against the best layer, mean over "
                    f"{len(cells)} data set{'s' * (len(cells) > 1)}: {', '.join(lost)}."
                )
    return found


def _mean_regret(cells: list[Compared], method: str) -> str:
    lost = [
        c.judge_of(c.objective).regret(c.chosen[method].weights).mean
        for c in cells if method in c.chosen
    ]  # fmt: skip
    return f"{100 * sum(lost) / len(lost):.1f}"
