"""The table of an evaluation as text."""

from __future__ import annotations

import pytest
from rich.console import Console

from goldenlayers.metrics.evaluation import Evaluation, FactScores
from goldenlayers.metrics.scores import OF_A_FACT
from goldenlayers.report.evaluation_table import evaluation_table, members_line


def printed(evaluation, width=120):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(evaluation_table(evaluation))
    return capture.get().splitlines()


def lines(*rows):
    facts = [
        FactScores(
            str(i), {n: row.get(n) for n in OF_A_FACT}, {n: 0.0 for n in OF_A_FACT if n in row}
        )
        for i, row in enumerate(rows)
    ]
    evaluation = Evaluation(tuple(facts))
    return evaluation, [" ".join(line.split()) for line in printed(evaluation)]


def of_kinds(*rows):
    """An evaluation whose facts have these scores by kind, and their means."""
    facts = []
    for i, row in enumerate(rows):
        scores = {}
        for name in ("locality", "portability", "generated_locality", "generated_portability"):
            own = [v for n, v in row.items() if n.startswith(f"{name}/")]
            if own:
                scores[name] = sum(own) / len(own)
        before, kinds_before = dict.fromkeys(scores, 0.0), dict.fromkeys(row, 0.0)
        facts.append(FactScores(str(i), scores, before, row, kinds_before))
    return Evaluation(tuple(facts))


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
        "rephrase – – – – 0",
        "locality 0.0 25.0 – – 1",
        "portability – – – – 0",
        "mean 0.0 50.0 – – 2",
        "fluency (bits) 0.00 5.62 ± 0.50 – – 2",
        "new answer (nats/token) 0.00 0.50 – – 1",
    ]
    assert "mean: of rewrite, locality, unweighted" in members_line(evaluation)


def test_nothing_scored():
    evaluation, found = lines({})
    names = ("rewrite", "rephrase", "locality", "portability", "mean")
    assert found[2:] == [f"{name} – – – – 0" for name in names]
    assert "of no score" in members_line(evaluation)
    nobody = [" ".join(line.split()) for line in printed(Evaluation(()))]
    assert nobody == found


def test_what_is_missing_is_never_a_zero():
    # a fact's unedited scores say 0, the edited ones that there is none: still no score
    scores = dict.fromkeys(OF_A_FACT)
    fact = FactScores("a", {**scores, "rewrite": 0.0}, dict.fromkeys(OF_A_FACT, 0.0))
    for line in printed(Evaluation((fact,)))[3:]:
        assert line.split()[0] in ("rephrase", "locality", "portability", "mean")
        if line.split()[0] != "mean":  # which is that of rewrite
            assert "0.0" not in line
            assert "nan" not in line
            assert line.split()[1:] == ["–", "–", "–", "–", "0"]


def test_scores_of_counterfact_come_together():
    _, found = lines({"efficacy": 1.0})
    assert found[-4:] == [
        "efficacy 0.0 100.0 – – 1",
        "paraphrase – – – – 0",
        "neighbourhood – – – – 0",
        "CounterFact score – – – – 0",
    ]


def test_kinds_stand_below_their_score():
    evaluation = of_kinds(
        {
            "locality/Relation_Specificity": 1.0,
            "locality/Forgetfulness": 0.5,
            "generated_locality/Relation_Specificity": 0.0,
            "generated_locality/Forgetfulness": 1.0,
        },
        {"locality/Forgetfulness": 0.25, "generated_locality/Forgetfulness": 0.0},
        {"portability/Reasoning": 1.0},
    )
    found = printed(evaluation, 80)
    assert [line.split("  ")[:2] for line in (found[5], found[6], found[8])] == [
        ["", "Relation_Specificity"],
        ["", "Forgetfulness"],
        ["", "Reasoning"],
    ]
    assert [" ".join(line.split()) for line in found[4:9]] == [
        "locality 0.0 50.0 ± 25.0 0.0 25.0 ± 25.0 2",
        "Relation_Specificity 0.0 100.0 0.0 0.0 1",
        "Forgetfulness 0.0 37.5 ± 12.5 0.0 50.0 ± 50.0 2",
        "portability 0.0 100.0 – – 1",
        "Reasoning 0.0 100.0 – – 1",
    ]


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("[red]x[/]", "  [red]x[/] "),
        ("a/b", "  a/b "),
        ("", "  (no name) "),
        ("\x1b[31mx\n", "  \\x1b[31mx\\n "),
        ("Ö :smile:", "  Ö :smile: "),
    ],
)
def test_what_a_record_calls_its_kind_is_shown_literally(kind, shown):
    (line,) = printed(of_kinds({f"locality/{kind}": 0.5}))[5:6]
    assert line.startswith(shown)
    assert line.split()[-5:] == ["0.0", "50.0", "–", "–", "1"]


def test_a_long_name_does_not_push_the_numbers_out():
    kind = "A_very_long_name_of_a_kind_" * 5
    found = printed(of_kinds({f"locality/{kind}": 0.5}, {f"locality/{kind}": 1.0}), 80)
    text = "\n".join(found)
    assert "…" not in text
    assert "75.0 ± 25.0" in text
    assert max(map(len, found)) <= 80
    cells = "".join(
        line.split("  ")[1] if line[:2] == "  " else line.split()[0] for line in found[5:]
    )
    assert kind in cells
