"""A layer chosen on one data set, judged on others: against plain loops, and what is refused."""

from __future__ import annotations

import csv
import json
import math
import statistics

import pytest

from goldenlayers.errors import ResultError, SettingsError
from goldenlayers.report.transfer_table import header, rows, transfer_lines
from goldenlayers.study.transfer import transfer

LAYERS = [0, 1, 2, 3]
EACH = {
    "one": [[0.5, 0.7, 0.2, 0.1], [0.4, 0.9, 0.3, 0.2], [0.6, 0.5, 0.4, 0.0]],
    "two": [[0.1, 0.2, 0.9, 0.3], [0.3, 0.1, 0.8, 0.2]],
    "three": [[0.2, 0.4, 0.3, 0.9], [0.2, 0.2, 0.5, 0.7], [0.1, 0.3, 0.2, 0.8], [0.5] * 4],
}
CHOSEN = {
    "lga": {"one": [1, 2], "two": [2, 2], "three": [0, 0]},
    "brute-force": {"one": [1, 1], "two": [2, 2], "three": [3, 3]},
    "middle": {"one": [2, 2], "two": [2, 2], "three": [2, 2]},
    "fixed:1": {"one": [1], "two": [1], "three": [1]},
}


def scores_of(name, layers=LAYERS):
    return [statistics.mean(row[layer] for row in EACH[name]) for layer in layers]


def write(folder, name, layers=LAYERS, facts=True, **changes):
    place = folder / name
    place.mkdir()
    scores = scores_of(name, layers)
    data = {
        "format": "golden-layers comparison",
        "format_version": 1,
        "layers": layers,
        "test": {"score": scores},
        "made_of": f"mean of {name}",
        "golden": layers[scores.index(max(scores))],
        "methods": [
            {"method": m, "choices": [{"layer": n} for n in by[name]], "failed": []}
            for m, by in CHOSEN.items()
        ],
        "test_facts": [f"{name}-{i}" for i in range(len(EACH[name]))],
        "model": {"title": "tiny", "files": {"w": "1"}},
    } | changes
    (place / "comparison.json").write_text(json.dumps(data))
    if facts:
        with (place / "facts.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["fact", *layers])
            for i, row in enumerate(EACH[name]):
                out.writerow([f"{name}-{i}", *(row[n] for n in layers)])
    return place


@pytest.fixture
def folders(tmp_path):
    return {name: write(tmp_path, name) for name in EACH}


def test_every_cell_against_plain_loops(folders):
    found = transfer(folders)
    assert list(found.methods) == ["lga", "brute-force"]  # the others see no facts
    for method, cells in found.methods.items():
        by = {(c.chosen_on, c.judged_on): c for c in cells}
        assert list(by) == [(a, b) for a in EACH for b in EACH]
        for (a, b), cell in by.items():
            chosen, own = CHOSEN[method][a], CHOSEN[method][b]
            apart = [
                statistics.mean(row[n] for n in chosen) - statistics.mean(row[n] for n in own)
                for row in EACH[b]
            ]
            score = statistics.mean(statistics.mean(row[n] for n in chosen) for row in EACH[b])
            assert cell.layers == tuple(chosen)
            assert cell.score == pytest.approx(score, abs=1e-12)
            assert cell.difference == pytest.approx(statistics.mean(apart), abs=1e-12)
            error = statistics.stdev(apart) / math.sqrt(len(apart))
            assert cell.standard_error == pytest.approx(error, abs=1e-12)
            if a == b:
                assert cell.difference == 0.0
        off = [c.difference for c in cells if c.chosen_on != c.judged_on]
        assert found.mean_difference(method) == pytest.approx(statistics.mean(off), abs=1e-12)


def test_a_layer_that_was_not_edited_is_a_dash_and_never_a_zero(tmp_path):
    folders = {
        "one": write(tmp_path, "one"),
        "two": write(tmp_path, "two", layers=[0, 2]),
        "three": write(tmp_path, "three"),
    }
    found = transfer(folders)
    by = {(c.chosen_on, c.judged_on): c for c in found.methods["brute-force"]}
    for name in ("one", "three"):
        cell = by[name, "two"]
        assert cell.score is cell.difference is cell.standard_error is None
    assert by["two", "two"].score == pytest.approx(scores_of("two")[2])
    table = rows(found, "brute-force")
    assert [row[header(found).index("two")] for row in table] == ["–", "85.0", "–"]
    assert [row[:2] for row in rows(found, "lga")] == [
        ["one", "1, 2"], ["two", "2 ×2"], ["three", "0 ×2"],
    ]  # fmt: skip


def test_without_the_facts_table_there_is_no_error_bar(tmp_path):
    folders = {name: write(tmp_path, name, facts=False) for name in EACH}
    found = transfer(folders)
    assert all(c.standard_error is None for c in found.methods["lga"])
    assert " ± " not in str(rows(found, "lga"))


def test_saved_and_told(folders, tmp_path):
    found = transfer(folders)
    written = found.save(tmp_path / "out")
    data = json.loads(written[0].read_text())
    assert data == found.to_dict()
    with written[1].open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 2 * 9
    assert {r["layers"] for r in table if r["method"] == "lga"} == {"1 2", "2 2", "0 0"}
    lines = "\n".join(transfer_lines(found))
    assert "two: 2 test facts, best layer 2 (85.0), mean of two" in lines
    gain = -100 * found.mean_difference("brute-force")
    assert f"brute-force: a layer chosen on another data set costs {gain:+.1f} points" in lines


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "x"}, "its format is 'x'"),
        ({"format_version": 9}, "its format version is 9"),
        ({"test": {"score": [0.1]}}, "one score for each layer"),
        ({"test": {"score": [0.1, 0.2, None, 0.3]}}, "one score for each layer"),
        ({"layers": None}, "no comparison as golden-layers writes it"),
        ({"methods": [1]}, "no comparison as golden-layers writes it"),
        ({"test_facts": ["a"]}, "expected 1 test facts at 4 layers"),
    ],
)
def test_what_is_no_comparison(folders, tmp_path, changes, message):
    path = folders["two"] / "comparison.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ResultError, match=message):
        transfer(folders)


def test_other_refusals(folders, tmp_path):
    with pytest.raises(SettingsError, match="1 comparisons; expected two or more"):
        transfer({"one": folders["one"]})
    with pytest.raises(
        ResultError, match="no such file; expected a folder of golden-layers compare"
    ):
        transfer({"one": folders["one"], "no": tmp_path / "no"})
    path = folders["two"] / "comparison.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"model": {"title": "other", "files": {}}}))
    with pytest.raises(SettingsError, match="different models: one: tiny, two: other"):
        transfer(folders)
    failed = [{**m, "failed": ["draw 0: none known"]} for m in data["methods"]]
    path.write_text(json.dumps(data | {"methods": failed}))
    with pytest.raises(ResultError, match="no method chose in all"):
        transfer(folders)
    (folders["one"] / "facts.csv").write_text("fact,0\na,x\n")
    with pytest.raises(ResultError, match=r"facts\.csv: cannot be read"):
        transfer(folders)
