"""What the figures of a study share: names, the states of the switches, notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from goldenlayers.report.document.parts import Table, View
from goldenlayers.report.document.plots import Axis, Bars, Series
from goldenlayers.report.plot import TITLES
from goldenlayers.study.run.stored import Compared, StoredStudy
from goldenlayers.sweep.run import duration

MODEL, DATA, EDITOR, SCORE = "model", "data set", "editor", "score"
LGA = "lga"
Row = tuple[str, str, str, float, float | None]


@dataclass(frozen=True)
class State:
    """A model, an editor and a score, with the comparison of each data set that has the score."""

    model: str
    editor: str
    score: str
    cells: tuple[Compared, ...]

    @property
    def choice(self) -> dict[str, str]:
        """The switches that lead here."""
        return {MODEL: self.model, EDITOR: self.editor, SCORE: self.score}


def states(study: StoredStudy) -> Iterator[State]:
    """Yield every model, editor and score, rewrite first, as the paper has it."""
    for model in study.models:
        for editor in study.editors:
            cells = study.main(model, editor)
            for score in dict.fromkeys(name for c in cells for name in c.names):
                having = tuple(c for c in cells if score in c.names)
                yield State(model, editor, score, having)


def title_of(method: str) -> str:
    """Return what a figure calls a way to choose: "LGA", "layer 5, as copied"."""
    name, _, layer = method.partition(":")
    if name == "fixed":
        return f"layer {layer}, as copied"
    return TITLES.get(method, method)


def copied(cells: tuple[Compared, ...]) -> list[str]:
    """Return the copied layers that are judged beside the ways to choose, "fixed:5"."""
    return sorted({m for c in cells for m in c.chosen if m.startswith("fixed")})


def note_of(study: StoredStudy, cells: tuple[Compared, ...]) -> str:
    """Return what belongs beneath a figure: facts, draws, time, the command."""
    told = []
    for c in cells:
        draws = len(c.told["draws"])
        told.append(
            f"{c.data}: {len(c.scores.facts)} test facts, {draws} draw{'s' * (draws > 1)} of "
            f"{c.proxy} proxy facts"
        )
    seconds = sum(c.seconds for c in cells)
    return "; ".join(told) + f". {duration(seconds)} of work. {command_of(study)}"


def command_of(study: StoredStudy) -> str:
    """Return the command that made the study, as a sentence."""
    command = str(study.index.get("command") or "")
    return f"Made by: {command}" if command else ""


def score_bars(
    study: StoredStudy, state: State, way: str, rows: Sequence[Row], series: Sequence[Series]
) -> View:
    """Return a view of a score by data set, in bars.

    Args:
        study: The study.
        state: Which model, editor and score.
        way: Title of the column that tells the bars of a data set apart.
        rows: Data set, bar, layers, score and its standard error.
        series: The bars.
    """
    return View(
        state.choice,
        Table(
            (DATA, way, "layers", state.score, "standard error"),
            tuple(rows),
            {state.score: "percent", "standard error": "percent"},
        ),
        Bars(
            tuple(series),
            Axis(DATA),
            Axis(f"{state.score} on the test facts", "percent", low=0.0, high=1.0),
        ),
        note_of(study, state.cells),
    )
