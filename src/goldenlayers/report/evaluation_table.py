"""The table of an evaluation for the terminal: teacher-forced and generated scores side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from goldenlayers.metrics.scores import COUNTERFACT, MEAN_OF, NAMES

if TYPE_CHECKING:
    from rich.console import JustifyMethod

    from goldenlayers.metrics.evaluation import Evaluation

# two lines a head, so that a terminal of 80 columns shows everything
COLUMNS = ("score", "before", "after", "generated\nbefore", "generated\nafter", "facts")
# Rows in order; the scores of MEAN_OF have a generated version in columns of their own.
ROWS = (*MEAN_OF, "mean", *COUNTERFACT, "counterfact_score", "fluency", "nll_new")
LABELS = {
    "counterfact_score": "CounterFact score",
    "fluency": "fluency (bits)",
    "nll_new": "new answer (nats/token)",
}
NOT_SHARES = ("fluency", "nll_new")


def evaluation_table(evaluation: Evaluation) -> Table:
    """Return the scores as a table: means in per cent ± standard errors, one row a score.

    Fluency is in bits and the new answer's mean negative log-likelihood in nats per token. "facts"
    counts the facts that have the score. A score that no fact has has no row.
    """
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for i, name in enumerate(COLUMNS):
        justify: JustifyMethod = "right" if i else "left"
        table.add_column(name, justify=justify, no_wrap=True, vertical="bottom")
    for name in ROWS:
        if not evaluation.count(name) or evaluation.mean(name) is None:
            continue
        generated = f"generated_{name}"
        has_generated = generated in NAMES and evaluation.count(generated) > 0
        table.add_row(
            LABELS.get(name, name),
            _value(evaluation, name, before=True, error=False),
            _value(evaluation, name, before=False, error=True),
            _value(evaluation, generated, before=True, error=False) if has_generated else "–",
            _value(evaluation, generated, before=False, error=True) if has_generated else "–",
            str(evaluation.count(name)),
            style="bold" if name == "mean" else "",
        )
    return table


def members_line(evaluation: Evaluation) -> str:
    """Return the sentence that belongs below the table."""
    members = ", ".join(evaluation.members) or "no score"
    return (
        f"mean: of {members}, unweighted; never compared across sets with other members. "
        "± is one standard error over facts. Teacher forcing feeds the right prefix and overstates "
        "success; the generated columns are what the model writes itself."
    )


def _value(evaluation: Evaluation, name: str, *, before: bool, error: bool) -> str:
    value = evaluation.mean(name, before=before)
    if value is None:
        return "–"
    scale, digits = (1, 2) if name in NOT_SHARES else (100, 1)
    text = f"{scale * value:.{digits}f}"
    spread = evaluation.standard_error(name, before=before) if error else None
    return f"{text} ± {scale * spread:.{digits}f}" if spread is not None else text
