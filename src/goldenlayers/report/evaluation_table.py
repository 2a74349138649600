"""The table of an evaluation for the terminal: teacher-forced and generated scores side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from goldenlayers.metrics.scores import COUNTERFACT, MEAN_OF, NAMES, split_name, subtype_name
from goldenlayers.report.printable import printable
from goldenlayers.report.table import is_there

if TYPE_CHECKING:
    from rich.console import JustifyMethod

    from goldenlayers.metrics.evaluation import Evaluation

# two lines a head, so that a terminal of 80 columns shows everything
COLUMNS = ("score", "before", "after", "generated\nbefore", "generated\nafter", "facts")
# Rows in order; the scores of MEAN_OF have a generated version in columns of their own.
ALWAYS = (*MEAN_OF, "mean")
OF_COUNTERFACT = (*COUNTERFACT, "counterfact_score")
MEASURED = ("fluency", "nll_new")
DASH = "–"
LABELS = {
    "counterfact_score": "CounterFact score",
    "fluency": "fluency (bits)",
    "nll_new": "new answer (nats/token)",
}
NOT_SHARES = ("fluency", "nll_new")


def evaluation_table(evaluation: Evaluation) -> Table:
    """Return the scores as a table: means in per cent ± standard errors, one row a score.

    Fluency is in bits and the new answer's mean negative log-likelihood in nats per token. "facts"
    counts the facts that have the score. Locality and portability have a row for each of the
    facts' kinds below them. Where no fact has a score there are dashes, never a zero; scores of
    CounterFact have rows if any fact has one of them, the last two only if any fact has them.
    """
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for i, name in enumerate(COLUMNS):
        justify: JustifyMethod = "right" if i else "left"
        # a kind may have a long name, which must not push the numbers out
        table.add_column(name, justify=justify, no_wrap=i > 0, overflow="fold", vertical="bottom")
    for name in ALWAYS:
        style = "bold" if name == "mean" else ""
        table.add_row(name, *_cells(evaluation, name, f"generated_{name}"), style=style)
        for kind in evaluation.kinds:
            score, subtype = split_name(kind)
            if score == name:
                generated = subtype_name(f"generated_{name}", subtype)
                cells = _cells(evaluation, kind, generated)
                # Text: what the record calls its kind is not markup
                table.add_row(Text(f"  {printable(subtype) or '(no name)'}"), *cells)
    further = [n for n in MEASURED if evaluation.count(n)]
    if any(evaluation.count(name) for name in COUNTERFACT):
        further = [*OF_COUNTERFACT, *further]
    for name in further:
        table.add_row(LABELS.get(name, name), *_cells(evaluation, name, f"generated_{name}"))
    return table


def members_line(evaluation: Evaluation) -> str:
    """Return the sentence that belongs below the table."""
    members = ", ".join(evaluation.members) or "no score"
    return (
        f"mean: of {members}, unweighted; never compared across sets with other members. "
        "± is one standard error over facts. Teacher forcing feeds the right prefix and overstates "
        "success; the generated columns are what the model writes itself. Locality and portability "
        "are means of a fact's kinds, each counting the same."
    )


def _cells(evaluation: Evaluation, name: str, generated: str) -> list[str]:
    known = (*NAMES, *evaluation.kinds)
    cells: list[str] = []
    for score in (name, generated):
        there = score in known and is_there(evaluation.mean(score))
        cells += [
            _value(evaluation, score, before=before, error=not before) if there else DASH
            for before in (True, False)
        ]
    # CounterFact's score needs all three of its parts; its count is of facts that have any of them
    count = evaluation.count(name) if is_there(evaluation.mean(name)) else 0
    return [*cells, str(count)]


def _value(evaluation: Evaluation, name: str, *, before: bool, error: bool) -> str:
    value = evaluation.mean(name, before=before)
    if not is_there(value):
        return DASH
    scale, digits = (1, 2) if name in NOT_SHARES else (100, 1)
    text = f"{scale * value:.{digits}f}"
    spread = evaluation.standard_error(name, before=before) if error else None
    return f"{text} ± {scale * spread:.{digits}f}" if spread is not None else text
