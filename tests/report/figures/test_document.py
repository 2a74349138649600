"""The figures of a study: each number against the stored edits, by the plainest way there is."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from goldenlayers.report.document.parts import Document, Item, View
from goldenlayers.report.document.plots import Bars, Heat, Lines, Scatter
from goldenlayers.report.figures.document import document_of
from goldenlayers.study.run.stored import load_study
from tests.study.run import studies
from tests.study.run.conftest import made  # noqa: F401  the study is run once for both folders


@pytest.fixture(scope="module")
def document(made) -> Document:  # noqa: F811
    return document_of(load_study(made[0]))


def item(document: Document, name: str) -> Item:
    (found,) = [i for s in document.sections for i in s.items if i.name == name]
    return found


def view(document: Document, name: str, **choice: str) -> View:
    wanted = {key.replace("_", " "): value for key, value in choice.items()}
    (found,) = [v for v in item(document, name).views if wanted.items() <= v.choice.items()]
    return found


def rows(view: View, **where: object) -> list[dict[str, object]]:
    wanted = {key.replace("_", " "): value for key, value in where.items()}
    found = [dict(zip(view.table.columns, row, strict=True)) for row in view.table.rows]
    return [r for r in found if wanted.items() <= r.items()]


def stored(folder: Path, model: str, data: str, variant: str = "proxy-0004"):
    """Return score by (fact, layer), and the layers by method, read without our code."""
    (place,) = [
        folder / p["place"]
        for p in json.loads((folder / "study.json").read_text())["pieces"]
        if (p["kind"], p["model"], p["data"], p["variant"]) == ("comparisons", model, data, variant)
    ]
    with (place / "edits.csv").open(newline="") as file:
        scores = {(r["fact"], int(r["layer"])): r for r in csv.DictReader(file)}
    told = json.loads((place / "comparison.json").read_text())
    chosen = {m["method"]: [c["layer"] for c in m["choices"]] for m in told["methods"]}
    return scores, chosen, told


def test_every_item_has_views_with_the_same_switches(document):
    names = [i.name for s in document.sections for i in s.items]
    assert len(set(names)) == len(names)
    assert set(names) == {
        "test-performance", "deviation-by-layer", "lga-against-cma", "prediction-and-truth",
        "regret-against-cost", "wins-by-proxy-size", "time-by-length", "time-by-facts", "scores",
        "sensitivity", "elsewhere", "causal-trace", "side-effects",
    }  # fmt: skip
    for section in document.sections:
        for one in section.items:
            assert len({tuple(v.choice) for v in one.views}) == 1, one.name
            choices = [tuple(v.choice.values()) for v in one.views]
            assert len(set(choices)) == len(choices), one.name
            for v in one.views:
                assert all(len(r) == len(v.table.columns) for r in v.table.rows)
                assert v.table.formats.keys() <= set(v.table.columns)
                assert "golden-layers study study.yaml" in v.note


@pytest.mark.parametrize("score", ["rewrite", "locality"])
def test_performance_is_the_mean_at_the_chosen_layers(made, document, score):  # noqa: F811
    scores, chosen, told = stored(made[0], "llama", "one")
    found = view(document, "test-performance", model="llama", score=score)
    by_layer = {
        n: np.array([float(scores[f, n][score]) for f in told["test_facts"]])
        for n in told["layers"]
    }
    for name, method in (("chosen on the proxy by real edits", "brute-force"),
                         ("chosen on the proxy by LGA", "lga")):  # fmt: skip
        each = np.mean([by_layer[n] for n in chosen[method]], axis=0)
        (row,) = rows(found, data_set="one", layer=name)
        assert row[score] == pytest.approx(each.mean())
        assert row["standard error"] == pytest.approx(each.std(ddof=1) / len(each) ** 0.5)
    best = max(by_layer, key=lambda n: (by_layer[n].mean(), -n))
    (row,) = rows(found, data_set="one", layer="best fixed layer of the test facts")
    assert (row["layers"], row[score]) == (str(best), pytest.approx(by_layer[best].mean()))
    (row,) = rows(found, data_set="one", layer="each fact's own best layer")
    assert row[score] == pytest.approx(np.max(list(by_layer.values()), axis=0).mean())
    assert isinstance(found.plot, Bars)
    assert [s.name for s in found.plot.series][2] == "best fixed layer of the test facts"


def test_deviation_marks_the_best_layers_and_frames_the_chosen_ones(made, document):  # noqa: F811
    found = view(document, "deviation-by-layer", score="rewrite")
    plot = found.plot
    assert isinstance(plot, Heat)
    assert plot.panels == (("llama", 2), ("little gpt2", 2))
    assert plot.rows == ("one", "two", "one", "two")
    at = 0
    for model in ("llama", "little gpt2"):
        for data in ("one", "two"):
            scores, chosen, told = stored(made[0], model, data)
            means = [
                np.mean([float(scores[f, n]["rewrite"]) for f in told["test_facts"]])
                for n in told["layers"]
            ]
            assert plot.values[at][: len(means)] == pytest.approx(max(means) - np.array(means))
            best = {i for i, m in enumerate(means) if m >= max(means) - 1e-9}
            assert {j for i, j in plot.optimal if i == at} == best
            layers = [told["layers"].index(n) for n in chosen["brute-force"]]
            assert {j for i, j in plot.golden if i == at} == set(layers)
            at += 1


def test_a_default_layer_is_a_third_bar(document):
    found = view(document, "lga-against-cma", model="llama", score="mean")
    assert [s.name for s in found.plot.series] == ["LGA", "CMA", "layer 1, as copied"]
    found = view(document, "lga-against-cma", model="little gpt2", score="mean")
    assert [s.name for s in found.plot.series] == ["LGA", "CMA"]


def test_prediction_and_truth_stand_on_the_same_layers(made, document):  # noqa: F811
    found = view(
        document, "prediction-and-truth", model="llama", data_set="two", prediction="LGA",
        score="mean",
    )  # fmt: skip
    plot = found.plot
    assert isinstance(plot, Bars)
    assert plot.series[0].x == plot.lines[0].x
    assert plot.second is not None
    ranking = load_study(made[0]).rankings["llama", "two", "site", "record"]
    assert [r["LGA's score"] for r in rows(found)] == [s.score for s in ranking.layers]
    assert Counter(plot.lines[0].marks.values())["chosen"] == 1


def test_cost_is_what_the_comparison_told(made, document):  # noqa: F811
    _, _, told = stored(made[0], "llama", "one", "proxy-0002")
    found = view(document, "regret-against-cost", model="llama", data_set="all")
    assert isinstance(found.plot, Scatter)
    for method in told["methods"]:
        if method["method"] not in ("lga", "cma", "brute-force"):
            continue
        name = {"lga": "LGA", "cma": "CMA"}.get(method["method"], "brute force")
        (row,) = rows(found, data_set="one", proxy_facts=2, chosen_by=name)
        assert row["regret"] == pytest.approx(method["regret"]["mean"])
        assert row["seconds"] == pytest.approx(np.mean([c["seconds"] for c in method["choices"]]))
    assert rows(found, data_set="two")
    # a point is the mean over the data sets
    (lga,) = [one for one in found.plot.series if one.name == "LGA"]
    both = [r["regret"] for r in rows(found, proxy_facts=2, chosen_by="LGA")]
    assert len(both) == 2
    assert lga.labels == ("2", "4")
    assert lga.y[0] == pytest.approx(np.mean(both))
    assert lga.error[0] == pytest.approx(np.std(both, ddof=1) / 2**0.5)
    shares = [r["share of brute force"] for r in rows(found, proxy_facts=2, chosen_by="LGA")]
    assert lga.x[0] == pytest.approx(np.prod(shares) ** 0.5)
    assert not rows(view(document, "regret-against-cost", model="llama", data_set="one"),
                    data_set="two")  # fmt: skip


def test_on_all_facts_lga_chooses_what_it_chose(made, document):  # noqa: F811
    found = view(document, "wins-by-proxy-size", model="llama", data_set="one")
    assert isinstance(found.plot, Lines)
    last = rows(found)[-1]
    assert last["proxy facts"] == 9
    assert last["the same as on all facts"] == 1
    for row in rows(found):
        near = row["within a point of it"]
        assert 0 <= row["a best layer of the test facts"] <= near <= 1


def test_sensitivity_changes_one_thing_at_a_time(made, document):  # noqa: F811
    found = view(document, "sensitivity", model="llama", data_set="one")
    settings = Counter(r["setting"] for r in rows(found))
    assert settings == {
        "fences, IQR": 5, "old answer": 2, "scope": 2, "size of the proxy": 2, "templates": 2,
    }  # fmt: skip
    same = {
        r["layers chosen"]
        for r in rows(found)
        if (r["setting"], r["value"])
        in {("fences, IQR", "1"), ("old answer", "record"), ("scope", "site")}
    }
    assert same == {str(load_study(made[0]).rankings["llama", "one", "site", "record"].golden)}


def test_the_table_of_scores_holds_every_way(made, document):  # noqa: F811
    _, chosen, _ = stored(made[0], "llama", "one")
    found = view(document, "scores", model="llama")
    assert len(rows(found, data_set="one")) == len(chosen) + 1
    (best,) = rows(found, data_set="one", chosen_by="best of the test facts")
    assert best["mean"] == max(r["mean"] for r in rows(found, data_set="one"))


def test_elsewhere_loses_nothing_at_home(document):
    found = view(document, "elsewhere", model="llama", chosen_by="LGA")
    for row in rows(found):
        if row["chosen on"] == row["judged on"]:
            assert row["points lost"] == pytest.approx(0, abs=1e-12)
    assert len(rows(found)) == 4


def test_times_are_marked_where_they_are_extrapolated(document):
    found = view(document, "time-by-length", model="llama", facts="2")
    assert isinstance(found.plot, Lines)
    by_way = {r["way"]: r for r in rows(found)}
    assert by_way["LGA"]["measured on"] == "2 facts"
    assert "extrapolated" in by_way["brute force, plain loop"]["measured on"]
    assert "1 fact at 2 layers" in by_way["brute force, plain loop"]["measured on"]
    dashed = {s.name: s.dashed for s in found.plot.series}
    assert dashed["brute force, plain loop"]
    assert not dashed["LGA"]
    for row in rows(found):
        same = {
            r["way"]: r for r in rows(found) if r["tokens of a prompt"] == row["tokens of a prompt"]
        }
        plain = same["brute force, plain loop"]["seconds"]
        assert row["times faster than the plain loop"] == pytest.approx(plain / row["seconds"])


def test_stories_tell_each_prompt_before_and_after(made, document):  # noqa: F811
    (section,) = [s for s in document.sections if s.name == "edits"]
    assert len(section.stories) == 2 * 2 * 2
    for story in section.stories:
        kinds = [c.kind for c in story.changes]
        assert kinds[0] == "the edit"
        assert {"a rephrasing", "what must stay"} <= set(kinds)
    assert "<script>" in "".join(s.title for s in section.stories)  # text, wherever it is shown


def test_the_card_names_model_layer_scores_and_side_effects(document):
    assert "## Fact edits: llama" in document.card
    assert "| one | 6 |" in document.card
    assert "Side effects, two" in document.card


def test_the_same_study_gives_the_same_document(made, document):  # noqa: F811
    assert document_of(load_study(made[0])) == document


def test_a_study_of_one_cell_has_no_table_of_others(tmp_path):
    study = studies.settings(
        tmp_path, models=["llama"], sensitivity=False, timing=False, heat_map=False, stories=0,
        side_effects=0, data=[{"facts": str(studies.facts_file(tmp_path / "one.jsonl"))}],
        locators=["middle"], proxy=2,
    )  # fmt: skip
    found = document_of(load_study(studies.run(tmp_path / "run", study)))
    names = {i.name for s in found.sections for i in s.items}
    assert "elsewhere" not in names
    assert "time-by-length" not in names
    assert {"test-performance", "scores"} <= names
