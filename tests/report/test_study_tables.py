"""Tables of many edits: every number is there, and nothing is cut at 80 columns."""

from __future__ import annotations

import math

import pytest
from rich.console import Console

from goldenlayers.editors.edit import Outcome
from goldenlayers.metrics.evaluation import Evaluation, FactScores
from goldenlayers.metrics.scores import OF_A_FACT
from goldenlayers.report.study_tables import layers_table, sequences_table
from goldenlayers.study.each import EditedLayer, EditedLayers
from goldenlayers.study.milestone import EditSequence, Milestone
from tests import tiny


def outcome(took=True):
    status = "converged" if took else "unreached"
    return Outcome(tiny.FACTS[0], (1,), status, "", 1.0, 0.1, took)


def layer(number, *rows, took=1):
    facts = [
        FactScores(str(i), {n: row.get(n) for n in OF_A_FACT}, dict.fromkeys(OF_A_FACT))
        for i, row in enumerate(rows)
    ]
    outcomes = tuple(outcome(i < took) for i in range(len(rows)))
    return EditedLayer(number, Evaluation(tuple(facts)), outcomes, {"edit": 3.0, "score": 1.0})


def printed(table, width):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


LOW = {"rewrite": 0.5, "generated_rewrite": 0.0, "locality": 0.25, "fluency": 5.125}
HIGH = {"rewrite": 1.0, "generated_rewrite": 1.0, "locality": 0.75, "fluency": 6.125}


def test_by_layer():
    result = EditedLayers((layer(4, LOW, LOW, took=0), layer(28, LOW, HIGH)), {})
    wide = printed(layers_table(result), 100)
    assert [" ".join(line.split()) for line in wide] == [
        "gene- gene- porta- s/",
        "layer took rewrite rated rephrase rated locality bility mean fluency edit",
        "4 0/2 50.0±0.0 0.0±0.0 – – 25.0±0.0 – 37.5±0.0 5.12±0.00 1.5",
        "28 1/2 75.0±25.0 50.0±50.0 – – 50.0±25.0 – 62.5±25.0 5.62±0.50 1.5",
    ]
    narrow = printed(layers_table(result, 80), 80)
    assert " ".join(narrow[3].split()) == "28 1/2 75±25 50±50 – – 50±25 – 62±25 5.62±0.50 1.5"


def test_one_fact_has_no_standard_error():
    (line,) = printed(layers_table(EditedLayers((layer(0, HIGH),), {})), 100)[2:]
    assert "±" not in line
    assert line.split()[:3] == ["0", "1/1", "100.0"]


@pytest.mark.parametrize("width", [80, 100])
def test_nothing_is_cut(width):
    # as wide as it comes: a hundred layers and facts, spreads of two digits before the point
    names = [n for n in OF_A_FACT if n not in ("fluency", "nll_new")]
    rows = [
        dict.fromkeys(names, v) | {"fluency": f, "nll_new": 1.0}
        for v, f in [(0.0, 2.0), (1.0, 6.0)] * 50
    ]
    result = EditedLayers((layer(111, *rows, took=100), layer(5, *rows[1:2])), {})
    lines = printed(layers_table(result, width), width)
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= width
    assert lines[2].count("±") == 8


def test_what_is_missing_is_a_dash():
    result = EditedLayers((layer(0, {}, took=0), EditedLayer(1, Evaluation(()), (), {})), {})
    for line, took in zip(printed(layers_table(result), 100)[2:], ("0/1", "0/0"), strict=True):
        assert line.split()[1:10] == [took, *["–"] * 8]
        assert "0.0" not in line
        assert "nan" not in line
    empty = Milestone(1, {}, math.nan, math.nan, 0)
    table = sequences_table([EditSequence("rome", (4,), (empty,), ())], 80)
    (line,) = [text for text in printed(table, 80) if text.startswith("rome")]
    assert line.split() == ["rome", "4", "1", "0", *["–"] * 8]


def milestone(edits, **scores):
    growth, largest = (1.25, 0.5) if edits else (1.0, 0.0)
    return Milestone(edits, scores, growth, largest, edits, seconds=1.5 * edits)


def rows_of(table, width):
    lines = printed(table, width)
    assert "…" not in "".join(lines)
    return [" ".join(line.split()) for line in lines if line.strip()]


def test_sequences():
    names = ("rewrite", "rephrase", "locality", "portability", "mean")
    full = milestone(100, **dict.fromkeys(names, 1.0), fluency=6.0, perplexity=23.456)
    broken = Milestone(100, {"rewrite": 0.0, "mean": 0.0, "perplexity": 1e9}, 4.2e17, math.inf, 7)
    sequences = [
        EditSequence("alphaedit", tuple(range(16, 21)), (milestone(0, rewrite=0.125), full), ()),
        EditSequence("rome", (4,), (milestone(0, rewrite=0.125), broken), ()),
    ]
    assert rows_of(sequences_table(sequences, 100), 100) == [
        "porta- flu- per- |W| largest s/",
        "editor layers edits took rewrite rephrase locality bility mean ency plexity grown |dW| "
        "edit",
        "alphaedit 16–20 0 0 12.5 – – – – – – 1.00 0.00 –",
        "alphaedit 16–20 100 100 100.0 100.0 100.0 100.0 100.0 6.00 23.46 1.25 0.50 1.5",
        "rome 4 0 0 12.5 – – – – – – 1.00 0.00 –",
        "rome 4 100 7 0.0 – – – 0.0 – 1e+09 4e+17 inf 0.0",
    ]
    assert rows_of(sequences_table(sequences, 80), 80)[2:4] == [
        "alphaedit 16–20 0 0 12.5 – – – – – – 1.00",
        "alphaedit 16–20 100 100 100.0 100.0 100.0 100.0 100.0 6.00 23.46 1.25",
    ]
