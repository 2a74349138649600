"""A ranking on disk: what is written reads back, damage is named, nothing is half-written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import goldenlayers
from goldenlayers.errors import ResultError
from goldenlayers.locators import ranking_files
from tests import tiny


@pytest.fixture(scope="module")
def ranking():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    facts = [*tiny.FACTS, goldenlayers.Fact("same", "Korvo", "Korvo uses the", "mark", "mark")]
    return goldenlayers.find(model, tokenizer, facts, method="lga", old_answer="record")


def test_round_trip(ranking, tmp_path):
    written = ranking.save(tmp_path / "new" / "folder")
    assert [p.name for p in written] == ["ranking.json", "fact_scores.csv", "scores.png"]
    assert sorted(p.name for p in (tmp_path / "new/folder").iterdir()) == sorted(
        p.name for p in written
    )
    for path in (tmp_path / "new/folder", written[0]):
        back = goldenlayers.LayerRanking.load(path)
        assert back.to_dict() == ranking.to_dict()
        assert back.layers == ranking.layers
        assert back.answers == ranking.answers
        for name, values in ranking.fact_scores.items():
            assert np.array_equal(back.fact_scores[name], values, equal_nan=True), name


def test_what_other_methods_have_to_say_reads_back(ranking, tmp_path):
    layers = tuple(replace(s, more={"rewrite": 0.5, "rephrase": None}) for s in ranking.layers)
    other = replace(
        ranking, layers=layers, notes=("layers 1 and 2 tie",), details={"ties": [1, 2]}, axis="mean"
    )
    other.save(tmp_path)
    back = goldenlayers.LayerRanking.load(tmp_path)
    assert back.layers == layers
    assert (back.notes, back.details, back.axis) == (other.notes, {"ties": [1, 2]}, "mean")
    assert list(back.to_pandas()["rewrite"]) == [0.5] * len(layers)


def test_the_json_names_everything_that_had_a_say(ranking, tmp_path):
    data = json.loads(ranking.save(tmp_path)[0].read_text())
    assert set(data["layers"][0]) == {
        "layer", "score", "rank", "inside_fences", "side", "reached", "mean_cosine", "old_norm",
        "new_norm", "stability", "more",
    }  # fmt: skip
    names = {"old_answer", "scope", "fence", "quartiles", "confidence", "resamples"}
    assert names | {"seed", "split", "limit", "layers", "sites"} <= set(data["settings"])
    assert data["golden"] == ranking.golden
    assert {"golden-layers", "torch", "transformers", "numpy", "python"} <= set(data["versions"])
    assert data["skipped"] == [{"id": "same", "reason": "the old answer is the new answer, 'mark'"}]


def test_a_failed_picture_leaves_the_old_result_whole(ranking, tmp_path, monkeypatch):
    ranking.save(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(ranking, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(ranking_files, "_csv", fail)
    with pytest.raises(ResultError, match="cannot be written: disk full"):
        ranking.save(tmp_path)
    after = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    assert after["ranking.json"] == before["ranking.json"]
    assert after["fact_scores.csv"] == before["fact_scores.csv"]


def test_a_place_that_cannot_be_written(ranking, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultError, match="cannot be written"):
        ranking.save(tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="x"), "not a ranking"),
        (lambda d: d.update(format_version=99), "format version 99; this golden-layers reads 1"),
        (lambda d: d.pop("golden"), "damaged: KeyError 'golden'"),
        (lambda d: d["layers"][0].update(extra=1), "damaged: TypeError"),
        (lambda d: d["answers"].pop(), "does not belong to the ranking"),
        (
            lambda d: d.update(files={"fact_scores": "../../etc/passwd"}),
            r"passwd: the per-fact scores",
        ),
    ],
)
def test_damaged_json(ranking, tmp_path, change, message):
    path = ranking.save(tmp_path)[0]
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(ResultError, match=message) as error:
        goldenlayers.LayerRanking.load(tmp_path)
    assert str(tmp_path) in str(error.value)  # also for the path that pointed elsewhere


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "not json at all"])
def test_a_file_that_is_no_ranking(tmp_path, text):
    (tmp_path / "ranking.json").write_text(text)
    with pytest.raises(ResultError, match=r"not (readable as JSON|a ranking)"):
        goldenlayers.LayerRanking.load(tmp_path)


def test_no_file(tmp_path):
    with pytest.raises(ResultError, match="no such file; expected the folder"):
        goldenlayers.LayerRanking.load(tmp_path / "none")


@pytest.mark.parametrize(
    "damage", [lambda t: t[: len(t) // 2], lambda t: t.replace("llama", "x") + "1,2\n"]
)
def test_damaged_table(ranking, tmp_path, damage):
    path = ranking.save(tmp_path)[1]
    path.write_text(damage(path.read_text()))
    with pytest.raises(ResultError, match=r"fact_scores.csv"):
        goldenlayers.LayerRanking.load(tmp_path)


def test_pandas(ranking):
    frame = ranking.to_pandas()
    assert frame["layer"].tolist() == [0, 1, 2, 3]
    assert frame.set_index("layer").loc[ranking.golden, "rank"] == 1
    facts = ranking.facts_to_pandas()
    assert len(facts) == 4 * len(ranking.answers)
    sums = facts.groupby("layer")["score"].sum()
    assert sums.loc[2] == pytest.approx(ranking[2].score)
