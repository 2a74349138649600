"""The study of choosers: how they are judged, and what is said of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import goldenlayers as gl
from goldenlayers.locators.measured import FILE
from goldenlayers.locators.registry import AUTO, make_locator
from tests.research.made_up import always, made_up
from tests.scripts import tool

DOCS = Path(__file__).parents[2] / "docs" / "research"


def test_excess_is_what_a_choice_loses_against_brute_force(tools):
    choosers = {
        "lga": always(0),
        "truth": lambda seen: seen["hint"].mean(0),
        "best": always(2),
        "worst": always(4),
    }
    found = tools["judge"].judge(made_up(), choosers, 20, 50, 50, "mean", 0)
    assert found["best"].mean == 0.0
    assert found["truth"].mean == 0.0
    assert found["worst"].mean == pytest.approx(0.3, abs=0.02)
    assert found["worst"].low < 0.3 < found["worst"].high < 0.33
    assert found["lga"].mean == pytest.approx(0.1, abs=0.02)
    mean, low, high = found["worst"].than["lga"]
    assert low < mean < high
    assert mean == pytest.approx(0.2, abs=0.02)
    assert found["lga"].than["lga"] == (0.0, 0.0, 0.0)
    assert found["worst"].layers == {14: 1.0}
    # a layer at random: the mean of one a fifth worse, four a tenth worse, and the best
    assert found["random"].mean == pytest.approx((0.3 + 4 * 0.1) / 6, abs=0.01)
    assert found["worst"].than["random"][0] == pytest.approx(0.3 - 0.7 / 6, abs=0.02)


def test_the_floor_is_not_negative_where_brute_force_errs(tools):
    """Cross-fitted: layers that are all alike give a floor of zero, not below and not above."""
    cell = made_up(n=60)
    cell["truth_rewrite"] = np.random.default_rng(3).standard_normal((60, 6))
    found = tools["judge"].judge(cell, {"lga": always(0)}, 30, 400, 2, "mean", 0)
    assert abs(found["lga"].floor) < 0.05
    biased = float(np.sqrt(2 * np.log(6)) / np.sqrt(30) / 1.5)  # of an argmax judged on itself
    assert abs(found["lga"].regret) < biased
    assert found["lga"].regret == pytest.approx(found["lga"].floor + found["lga"].mean)
    cell["truth_rewrite"][:, 2] += 1.0
    found = tools["judge"].judge(cell, {"lga": always(0)}, 30, 50, 2, "mean", 0)
    assert found["lga"].floor == 0.0
    assert found["lga"].regret == pytest.approx(1.0, abs=0.4)


def test_a_fact_is_never_on_both_sides(tools):
    """Each fact's hint is the same as its truth, so that what was chosen on can be told."""
    cell = made_up(n=12)
    truth = tools["judge"].LayerScores(
        tuple(cell["facts"]), tuple(cell["layers"]), {"rewrite": cell["truth_rewrite"]}
    )
    rng = np.random.default_rng(1)
    taken = []
    judged = []

    class Spy(type(truth)):
        def by_layer(self, objective, weights=None):
            judged.append(np.asarray(weights))
            return np.zeros(6)

    spied = Spy(truth.facts, truth.layers, truth.values)

    def chooser(seen):
        taken.append(len(seen["hint"]))
        return np.zeros(6)

    counts = np.bincount(rng.integers(12, size=12), minlength=12)
    tools["judge"]._draws(cell, spied, {"lga": chooser}, counts, 5, 20, "mean", rng)
    # of each draw: all that are left, the proxy facts, and the halves of those left
    for test, proxy, one, other in zip(*(judged[i::4] for i in range(4)), strict=True):
        assert not (test * proxy).any()
        np.testing.assert_array_equal(test + proxy, counts)
        np.testing.assert_array_equal(one + other, test)
        assert not (one * other).any()
    assert taken == [int(p.sum()) for p in judged[1::4]]


def test_the_verdict_is_what_the_rule_says(tools):
    rule = {"chooser": "best", "mean_at_most": 0.01, "upper_at_most": 0.03, "time_at_most": 0.1}
    choosers = {"lga": always(0), "best": always(2), "worst": always(4)}
    found = {c: tools["judge"].judge(made_up(seed=n), choosers, 20, 20, 20, "mean", 0)
             for n, c in enumerate("ab")}  # fmt: skip
    quick = {"a": 0.08, "b": 0.09}
    lines = tools["verdict"].verdict(found, quick, rule)
    assert lines[-2:] == ["better than LGA: confirmed", "the goal: met"]
    assert sum(line.startswith("met: ") for line in lines) == 4
    assert any(line.startswith("a: within") for line in lines)
    lines = tools["verdict"].verdict(found, {"a": 0.08, "b": 0.2}, rule)
    assert lines[-2:] == ["better than LGA: confirmed", "the goal: not met"]
    (missed,) = [line for line in lines if line.startswith("NOT MET")]
    assert "time 14.0%" in missed
    lines = tools["verdict"].verdict(found, quick, rule | {"chooser": "worst"})
    assert sum(line.startswith("NOT MET") for line in lines) == 3
    assert any(line.startswith("a: beyond") for line in lines)
    assert lines[-2:] == ["better than LGA: not confirmed", "the goal: not met"]
    (against,) = [line for line in lines if "less LGA's" in line]
    assert "less LGA's +20." in against or "less LGA's +19." in against


def told(tools, mean, n):
    again = np.array([mean - 0.01, mean + 0.01])
    return tools["judge"].Excess(mean, *again, 0.03 + mean, 0.03 * n, {}, {}, again)


def test_what_the_package_says_of_its_methods_is_the_mean_over_the_cells(
    tools, tmp_path, monkeypatch
):
    from goldenlayers.locators import measured as product

    writer = tool("research/measured.py")
    names = set(writer.METHODS.values())
    known = {*tools["judge"].BASELINES, *tools["judge"].CANDIDATES, *tools["judge"].EDITING}
    assert names <= {*known, "random"}
    cells = ["bundled-zsre-b-r-rome", "bundled-counterfact-b-r-rome", "gpt2-2-emmet"]
    found = {
        cell: {name: told(tools, 0.1 * n if name == "lga" else 0.0, n) for name in names}
        for n, cell in enumerate(cells, start=1)
    }
    llama, gpt2 = ("LlamaForCausalLM", 130_000_000), ("GPT2LMHeadModel", 3_000_000)
    models = dict(zip(cells, (llama, llama, gpt2), strict=True))
    writer.write_measured(tmp_path / "measured.json", found, models)
    monkeypatch.setattr(product, "FILE", tmp_path / "measured.json")
    product._read.cache_clear()
    try:
        like = {"architecture": "LlamaForCausalLM", "parameters": 200_000_000}
        lga = product.measured(gl.LGA(), like)
        assert lga.excess[0] == pytest.approx(0.15)
        assert (lga.like, lga.cells) == (True, 2)
        other = product.measured(gl.LGA(), like | {"architecture": "OPTForCausalLM"})
        assert other.excess[0] == pytest.approx(0.2)
        assert (other.like, other.cells) == (False, 3)
        assert other.parameters == (3_000_000, 130_000_000)
        truth = product.measured(gl.BruteForce(), like)
        assert truth.excess == (pytest.approx(0.045),)
    finally:
        product._read.cache_clear()


def test_the_tables_tell_what_was_judged(tools):
    page = tool("research/page.py")
    known = {**tools["judge"].BASELINES, **tools["judge"].EDITING}
    choosers = {name: always(0 if name == "lga" else 2) for name in known}
    found = {c: tools["judge"].judge(made_up(seed=n), choosers, 20, 20, 20, "mean", 0)
             for n, c in enumerate(("a-b", "c"))}  # fmt: skip
    data = page.told(found, {"a-b": 0.081, "c": 0.1}, {"a-b": 0.2, "c": 0.3}, ["said"])
    data = json.loads(json.dumps(data))  # as it is kept
    lines = list(page.lines(data))
    mean = (found["a-b"]["lga"].mean + found["c"]["lga"].mean) / 2
    worst = max(found["a-b"]["lga"].mean, found["c"]["lga"].mean)
    (lga,) = [line for line in lines if line.startswith("| lga |")]
    assert lga.startswith(f"| lga | +{100 * mean:.1f} (")
    assert f" | +{100 * worst:.1f} | | " in lga  # nothing is less than itself
    (cma,) = [line for line in lines if line.startswith("| cma |")]
    assert cma.startswith("| cma | +0.0 (+0.0 to +0.0) | +0.0 | −")
    cell, paired = [line for line in lines if line.startswith("| a-b |")]
    assert cell.endswith(" | 8.1 % | 20 % |")
    less = found["a-b"][page.STAGED].than["lga"][0]
    assert less < -0.05
    assert f"| −{-100 * less:.1f} (−" in paired
    assert data["verdict"] == ["said"]


def test_the_verdict_is_on_the_registered_cells_and_no_others(tools, tmp_path, monkeypatch, capsys):
    rule = tmp_path / "registered.json"
    rule.write_text(json.dumps({"cells": ["a", "b"]}))
    monkeypatch.setattr(sys, "argv", ["judge.py", "x/a.npz", "--registered", str(rule)])
    with pytest.raises(SystemExit):
        tools["judge"].main()
    assert "is about a, b; found a" in capsys.readouterr().err


def test_the_registered_choice_is_the_default_of_the_product(tools):
    rule = json.loads((DOCS / "registered.json").read_text())
    assert rule["chooser"] == tool("research/choosers.py").STAGED
    cells = tools["collect"].CELLS
    assert all(cells[name].role == "confirmation" for name in rule["cells"])
    assert len({cells[name].model for name in rule["cells"]}) == 3
    assert {cells[name].editor for name in rule["cells"]} == {"r-rome", "emmet"}
    halves = {c.data for c in map(cells.get, rule["cells"]) if c.half == "b"}
    assert halves == {"zsre", "counterfact", "wiki-counterfact", "wiki-recent", "wikibio"}


def test_the_page_and_the_package_tell_the_verdict(tools):
    page = tool("research/page.py")
    data = json.loads((DOCS / "confirmation.json").read_text())
    rule = json.loads((DOCS / "registered.json").read_text())
    assert set(data["cells"]) == set(rule["cells"])
    text = (DOCS / "README.md").read_text(encoding="utf-8").splitlines()
    lines = [line for line in page.lines(data) if line]
    assert len(lines) > 40
    assert [line for line in (*lines, *data["verdict"]) if line not in text] == []
    # what is recommended is what was registered, and it was confirmed
    assert "better than LGA: confirmed" in data["verdict"]
    assert type(make_locator(AUTO)) is gl.Staged
    product = json.loads(FILE.read_text(encoding="utf-8"))
    assert {cell["name"] for cell in product["cells"]} == set(rule["cells"])
    for method, name in tool("research/measured.py").METHODS.items():
        assert product["excess"]["all"][method] == pytest.approx(
            data["over"][name]["excess"], abs=1e-4
        ), method
    whole = " ".join(text)
    for method in ("lga", "staged"):
        own = product["excess"]["LlamaForCausalLM"][method]
        assert f"`{method}` {tools['verdict'].ranged(*own)}".replace("-", "−") in whole


def test_the_scores_of_a_cell_are_printed_by_layer(tools, monkeypatch, capsys):
    cell = DOCS / "cells" / "gemma3-1-r-rome.npz"
    monkeypatch.setattr(sys, "argv", ["judge.py", str(cell), "--scores"])
    tools["judge"].main()
    out = capsys.readouterr().out
    with np.load(cell) as arrays:
        rewrite = arrays["truth_rewrite"].mean(0)
    assert f"{100 * rewrite[0]:.1f}" in out
    assert f"{100 * rewrite[3]:.1f}" in out
