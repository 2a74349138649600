"""The table of an evaluation as text."""

from __future__ import annotations

from rich.console import Console

from goldenlayers.metrics.evaluation import Evaluation, FactScores
from goldenlayers.metrics.scores import OF_A_FACT
from goldenlayers.report.evaluation_table import evaluation_table, members_line


def lines(*rows):
    facts = [
        FactScores(str(i), {n: row.get(n) for n in OF_A_FACT}, dict.fromkeys(OF_A_FACT, 0.0))
        for i, row in enumerate(rows)
    ]
    evaluation = Evaluation(tuple(facts))
    console = Console(width=120)
    with console.capture() as capture:
        console.print(evaluation_table(evaluation))
    return evaluation, [" ".join(line.split()) for line in capture.get().splitlines()]


def test_rows_and_columns():
    evaluation, found = lines(
        {"rewrite": 1.0, "generated_rewrite": 1.0, "fluency": 5.125, "nll_new": 0.5, "mean": 1.0},
        {
            "rewrite": 0.5,
            "generated_rewrite": 0.0,
            "fluency": 6.125,
            "locality": 0.25,
            "mean": 0.375,
        },
    )
    assert found == [
        "generated generated",
        "score before after before after facts",
        "rewrite 0.0 75.0 ± 25.0 0.0 50.0 ± 50.0 2",
        "locality 0.0 25.0 – – 1",
        "mean 0.0 50.0 – – 2",
        "fluency (bits) 0.00 5.62 ± 0.50 – – 2",
        "new answer (nats/token) 0.00 0.50 – – 1",
    ]
    assert "mean: of rewrite, locality, unweighted" in members_line(evaluation)


def test_nothing_scored():
    evaluation, found = lines({})
    assert len(found) == 2  # the header alone
    assert "of no score" in members_line(evaluation)
