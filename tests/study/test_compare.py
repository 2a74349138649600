"""Methods side by side: who sees what, and what is made of it."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch

from goldenlayers.editors.which_layer import resolve_layers
from goldenlayers.errors import FactError, ResultError, SettingsError
from goldenlayers.locators import lga as lga_module
from goldenlayers.locators.find import find
from goldenlayers.report.comparison_plot import plot_comparison
from goldenlayers.report.comparison_table import comparison_lines, comparison_table
from goldenlayers.study.chosen import chosen_by, require_windows
from goldenlayers.study.compare import compare, draw
from goldenlayers.study.comparison import FORMAT
from tests import tiny
from tests.sweep.test_engine import FACTS, VALUE
from tests.sweep.test_windows import random_covariance

SPLIT = [
    dataclasses.replace(f, id=f"{split}.{f.id}.{i}", split=split)
    for split, times in (("proxy", 3), ("test", 2))
    for i in range(times)
    for f in FACTS
]
METHODS = ("lga", "verified", "brute-force", "gradient-norm", "middle", "random", "fixed:2")


def run(methods=METHODS, facts=SPLIT, **options):
    model = tiny.model("llama", torch.float64)
    options = {"proxy": 4, "repeats": 2, "editor_settings": VALUE} | options
    return compare(model, tiny.tokenizer("llama"), facts, methods, **options)


@pytest.fixture(scope="module")
def whole():
    return run()


def of(comparison, method):
    return next(m for m in comparison.methods if m.method == method)


def test_draws_share_no_fact_as_long_as_there_are_enough():
    pool = [f for f in SPLIT if f.split == "proxy"]
    draws = draw(pool, 4, 3, seed=1)
    ids = [[f.id for f in chosen] for chosen in draws]
    assert not set(ids[0]) & set(ids[1])
    assert all(len(set(d)) == 4 for d in ids)
    assert ids == [[f.id for f in chosen] for chosen in draw(pool, 4, 3, seed=1)]
    with pytest.raises(SettingsError, match="proxy 10: expected 1 to 9"):
        draw(pool, 10, 1, 0)
    with pytest.raises(SettingsError, match="repeats 0"):
        draw(pool, 3, 0, 0)


def test_each_method_chooses_what_find_chooses_on_the_same_facts(whole):
    model, tokenizer = tiny.model("llama", torch.float64), tiny.tokenizer("llama")
    for r, ids in enumerate(whole.draws):
        facts = [next(f for f in SPLIT if f.id == i) for i in ids]
        for method in METHODS:
            edits = {"editor_settings": VALUE} if method in ("verified", "brute-force") else {}
            alone = find(model, tokenizer, facts, method, split="all", seed=r, **edits)
            assert of(whole, method).choices[r].layer == alone.golden, method


def test_choices_are_judged_by_the_edits_of_the_test_facts(whole):
    tested = [f for f in SPLIT if f.split == "test"]
    truth = find(
        tiny.model("llama", torch.float64), tiny.tokenizer("llama"), tested, "brute-force",
        split="all", editor_settings=VALUE,
    )  # fmt: skip
    assert whole.test["score"] == pytest.approx([s.score for s in truth.layers])
    assert whole.golden == truth.golden
    assert whole.ceiling == pytest.approx(truth.details["sample_wise"]["ceiling"])
    assert whole.test_facts == tuple(f.id for f in tested)
    for method in METHODS:
        for choice in of(whole, method).choices:
            if method == "random":
                assert choice.test_score == pytest.approx(np.mean(whole.test["score"]))
                assert choice.hit == pytest.approx(len(whole.ties) / 4)
            else:
                assert choice.test_score == pytest.approx(whole.test["score"][choice.layer])
                assert choice.hit == (choice.layer in whole.ties)


def test_no_method_is_shown_a_test_fact(monkeypatch):
    seen = []
    rank = lga_module.LGA.rank

    def watched(self, request):
        seen.extend(f.split for f in request.facts)
        return rank(self, request)

    monkeypatch.setattr(lga_module.LGA, "rank", watched)
    run(("lga", "verified"))
    assert set(seen) == {"proxy"}


def test_the_floor_comes_from_the_proxies_where_they_were_edited(whole):
    assert whole.floor_from == "proxy"
    assert whole.floor is not None
    cheap = run(("middle",), proxy=3)
    assert cheap.floor_from == "test"
    assert cheap.floor is not None
    assert run(("middle",)).floor is None  # four of six test facts leave too few


def test_time_is_told_against_brute_force_on_the_same_facts(whole):
    assert all(c.relative == pytest.approx(1.0) for c in of(whole, "brute-force").choices)
    assert all(0 < c.relative < 10 for c in of(whole, "verified").choices)
    assert all(c.seconds > 0 for c in of(whole, "lga").choices)


def test_where_the_editor_takes_a_window_choices_of_single_layers_become_windows(monkeypatch):
    random_covariance(monkeypatch)
    options = {
        "editor": "memit", "covariance": "model",
        "editor_settings": VALUE | {"window": 2, "lam": 0.1},
    }  # fmt: skip
    compared = run((*METHODS, "fixed:3"), **options)
    assert compared.settings["editor_window"] == 2
    model, tokenizer = tiny.model("llama", torch.float64), tiny.tokenizer("llama")
    for r, ids in enumerate(compared.draws):
        facts = [next(f for f in SPLIT if f.id == i) for i in ids]
        for result in compared.methods:
            choice, method = result.choices[r], result.method
            edits = options if method in ("verified", "brute-force") else {}
            alone = find(model, tokenizer, facts, method, split="all", seed=r, **edits)
            if edits:
                assert choice.layer == alone.golden, method
                continue
            window, _ = resolve_layers(model, tokenizer, alone, None, width=2)
            assert choice.layer == window[-1].layer, method
            assert choice.rank_correlation is None
            if method != "random":
                assert choice.test_score == pytest.approx(compared.test["score"][choice.layer])
    # the windows of layers 0 to 3 end there: the last layer is in that of layer 3 alone
    score = np.array(compared.test["score"])
    expected = score[[1, 1, 2, 3]].mean()
    assert of(compared, "random").choices[0].test_score == pytest.approx(expected)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize("method", ["fixed:0", "fixed:1", "fixed:2", "middle", "lga"])
def test_a_choice_of_a_single_layer_is_the_window_that_edit_takes(method, width):
    model, tokenizer = tiny.model("llama", torch.float64), tiny.tokenizer("llama")
    ranking = find(model, tokenizer, FACTS, method)
    window, _ = resolve_layers(model, tokenizer, ranking, None, width=width)
    assert chosen_by(ranking, width, 4) == window[-1].layer


def test_layers_that_are_in_no_window_are_refused_before_anything_is_edited(monkeypatch, tmp_path):
    random_covariance(monkeypatch)
    options = {
        "editor": "memit", "covariance": "model", "layers": "0,2,3",
        "editor_settings": VALUE | {"window": 2, "lam": 0.1},
    }  # fmt: skip
    store = tmp_path / "sweep.sqlite"
    with pytest.raises(SettingsError, match="layers: 0 is in no window of 2 of the layers"):
        run(("lga", "brute-force"), store=store, **options)
    assert not store.exists()
    swept = run(("brute-force",), **options)
    assert swept.layers == (0, 2, 3)
    require_windows([0, 1, 2, 3], 5, 4)  # as wide as a model of four layers takes
    require_windows([5], 1, 9)
    with pytest.raises(SettingsError, match="6 is in no window of 3"):
        require_windows([2, 3, 4, 6, 7, 9, 10, 11], 3, 12)


def test_a_store_serves_again_and_is_refused_for_other_facts(tmp_path, whole):
    store = tmp_path / "sweep.sqlite"
    first = run(("middle",), store=store)
    again = run(("middle", "brute-force"), store=store, resume=True)
    assert again.test == first.test
    assert of(again, "brute-force").layers() == of(whole, "brute-force").layers()
    with pytest.raises(ResultError, match="its facts"):
        run(("middle",), facts=SPLIT[1:], store=store, resume=True)


def test_it_is_written_shown_and_drawn(tmp_path, whole):
    written = whole.save(tmp_path / "out")
    names = ["comparison.json", "layers.csv", "facts.csv", "edits.csv", "comparison.png"]
    assert [p.name for p in written] == names
    with written[2].open(newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["fact", *map(str, whole.layers)]
    assert [row[0] for row in table[1:]] == list(whole.test_facts)
    each = np.array([[float(v) for v in row[1:]] for row in table[1:]])
    assert each.mean(0) == pytest.approx(whole.test["score"], abs=1e-5)
    with written[3].open(newline="") as file:
        edits = list(csv.DictReader(file))
    assert [(e["fact"], int(e["layer"])) for e in edits] == [
        (fact, n) for fact in whole.test_facts for n in whole.layers
    ]
    for n, mean in zip(whole.layers, whole.test["rewrite"], strict=True):
        mine = [float(e["rewrite"]) for e in edits if int(e["layer"]) == n]
        assert np.mean(mine) == pytest.approx(mean)
    data = json.loads(written[0].read_text())
    assert "edits" not in data
    assert data["format"] == FORMAT
    assert data["golden"] == whole.golden
    assert data["draws"] == [list(d) for d in whole.draws]
    assert [m["method"] for m in data["methods"]] == list(METHODS)
    lines = written[1].read_text().splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("layer,score,standard_error")
    assert comparison_table(whole).row_count == len(METHODS) + 1
    text = "\n".join(comparison_lines(whole))
    assert "oracle" in text
    assert f"golden layer of the 6 test facts: {whole.golden}" in text
    assert len(plot_comparison(whole).axes) == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "comparison.json").write_text("{}")
    with pytest.raises(ResultError, match="golden-layers did not write it"):
        whole.save(tmp_path / "other")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [({"methods": ()}, SettingsError, "no method"),
     ({"methods": ("best",)}, SettingsError, "method 'best' is unknown"),
     ({"speed": 3}, SettingsError, "no method has the setting 'speed'"),
     ({"test": 7}, SettingsError, "test 7: expected 2 to 6"),
     ({"facts": SPLIT[:9]}, FactError, "9 facts marked as proxy and 0 as test")],
)  # fmt: skip
def test_wrong_input_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        run(**options)
