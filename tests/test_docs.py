"""The documents say what the committed results say."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from goldenlayers.report.comparison_table import interval, points
from goldenlayers.study.comparison import FORMAT
from goldenlayers.study.judge import Regret
from tests import tiny
from tests.conformance import families
from tests.scripts import tool

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def comparison():
    return json.loads((DOCS / "results" / "comparison.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page():
    # typographic signs as the command prints them
    return (DOCS / "choosing.md").read_text(encoding="utf-8").replace("−", "-")


def test_the_comparison_is_as_large_as_it_claims(comparison, page):
    assert comparison["format"] == FORMAT
    n = len(comparison["test_facts"])
    assert n >= 60
    assert len(comparison["draws"]) >= 5
    assert not {i for d in comparison["draws"] for i in d} & set(comparison["test_facts"])
    assert f"{n} bundled test facts edited" in page
    with (DOCS / "results" / "comparison-layers.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["layer"]) for r in rows] == comparison["layers"]
    assert [float(r["score"]) for r in rows] == pytest.approx(comparison["test"]["score"])


def test_every_method_has_its_row(comparison, page):
    for method in comparison["methods"]:
        (row,) = re.findall(
            rf"^\| {re.escape(method['method'])}(?: \(expected\))? \|.*$", page, re.M
        )
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        choices = method["choices"]
        score = sum(c["test_score"] for c in choices) / len(choices)
        assert cells[2] == f"{100 * score:.1f}"
        regret = Regret(**method["regret"])
        assert cells[3] == points(regret.mean)
        assert cells[4] == interval(regret)
        hit = sum(c["hit"] for c in choices) / len(choices)
        assert cells[7] == f"{100 * hit:.0f} %"
    floor = Regret(**comparison["floor"])
    assert f"| *oracle floor* | | | {points(floor.mean)} | {interval(floor)} |" in page


def test_the_golden_layer_and_the_ceiling_are_told(comparison, page):
    best = comparison["layers"].index(comparison["golden"])
    score = comparison["test"]["score"][best]
    error = comparison["test"]["standard_error"][best]
    told = f"Layer {comparison['golden']} is golden with {100 * score:.1f} ± {100 * error:.1f}"
    assert told in page
    assert f"the mean would be {100 * comparison['ceiling']:.1f}" in page


def test_the_families_are_counted():
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"the tests do so for (\d+) families and variants", text)
    assert int(told) == len(tiny.MODELS) + len(families.MODELS)


def test_a_thousand_facts_are_told_as_they_are():
    lines = tool("data_sets/thousand.py").table(DOCS / "results" / "editors" / "thousand.csv")
    page = (DOCS / "editing.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 15
    assert [line for line in lines if line not in page] == []


def test_the_layers_of_the_editors_are_told_as_they_are():
    run = tool("editors/run.py")
    folder = DOCS / "results" / "editors"
    rows = json.loads((folder / run.KEPT).read_text(encoding="utf-8"))
    page = (DOCS / "editing.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in run.table(rows) if line not in page] == []
    for editor in dict.fromkeys(row["editor"] for row in rows):
        few = editor in run.TRAINED
        with (folder / f"{editor}-facts.csv").open(encoding="utf-8", newline="") as file:
            header, *each = csv.reader(file)
        assert len(header) - 1 == (10 if few else 30), editor
        assert len(each) == (run.FEW_FACTS if few else run.FACTS), editor
        # each fact's scores by layer lead to the layer that the table says is the best
        means = [sum(float(row[1 + j]) for row in each) for j in range(len(header) - 1)]
        best = header[1 + means.index(max(means))]
        told = next(r for r in rows if (r["editor"], r["method"]) == (editor, "best"))
        assert str(told["layers"]).split()[-1] == best, editor


def test_the_study_of_the_data_sets_is_told_as_it_is():
    collect = tool("data_sets/collect.py")
    results = DOCS / "results" / "data-sets"
    lines = [line for line in collect.tables(results) if line]
    page = (DOCS / "data.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 20
    assert [line for line in lines if line not in page] == []
    for name in collect.compared(results):
        found = json.loads((results / name / "comparison.json").read_text(encoding="utf-8"))
        if name == "wikibio":  # of prompts of a hundred tokens, fewer facts and layers
            assert len(found["test_facts"]) >= 10
            assert set(found["layers"]) >= set(range(0, 30, 3))
        else:
            assert len(found["test_facts"]) >= 30
            assert len(found["layers"]) == 30
        with (results / name / "layers.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [float(r["score"]) for r in rows] == pytest.approx(found["test"]["score"])
