"""An evaluation on disk: what is written reads back, damage is named, nothing is half-written."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from goldenlayers.errors import ResultError
from goldenlayers.facts import LocalityProbe
from goldenlayers.metrics import evaluation_files
from goldenlayers.metrics.evaluate import evaluate
from goldenlayers.metrics.evaluation import Evaluation
from goldenlayers.metrics.scores import OF_A_FACT
from tests import tiny
from tests.metrics.samples import BARE, FACTS, Noise

ODD = replace(BARE, id='odd, "id"\nof two lines\u2028and a separator')
KINDS = replace(
    BARE,
    id="kinds",
    locality={
        k: (LocalityProbe("The maker of the game Tarnish is", "Orrin Vale"),)
        for k in ("[red]x[/]", 'a, "b"\nc/d', "unrelated", "Ö ")
    },
)
LONG = replace(BARE, id="long", prompt="Norland " * 200)


@pytest.fixture(scope="module")
def evaluation():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    return evaluate(model, tokenizer, [*FACTS, ODD, LONG, KINDS], edit=Noise("llama"))


def test_round_trip(evaluation, tmp_path):
    written = evaluation.save(tmp_path / "new" / "folder")
    assert [p.name for p in written] == ["evaluation.json", "scores.csv", "outputs.jsonl"]
    assert sorted(p.name for p in (tmp_path / "new/folder").iterdir()) == sorted(
        p.name for p in written
    )
    for path in (tmp_path / "new/folder", written[0]):
        back = Evaluation.load(path)
        assert back == evaluation  # bit for bit
        assert back.summary() == evaluation.summary()
    assert len(evaluation.skipped) == 2


def test_what_is_in_the_files(evaluation, tmp_path):
    paths = evaluation.save(tmp_path)
    data = json.loads(paths[0].read_text())
    assert data["summary"]["mean_of"] == ["rewrite", "rephrase", "locality", "portability"]
    assert {"edit", "generate", "fluency", "seed", "fluency_top_k"} <= set(data["settings"])
    assert {"torch", "transformers", "golden-layers"} <= set(data["versions"])
    with paths[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["fact"] for row in rows] == [f.id for f in evaluation.facts]
    kinds = [
        f"{score}/{kind}"
        for score in ("locality", "portability", "generated_locality", "generated_portability")
        for kind in (
            ("alias", "reasoning")
            if score.endswith("portability")
            else ("same_relation", "unrelated", "[red]x[/]", 'a, "b"\nc/d', "Ö ")
        )
    ]
    columns = [*OF_A_FACT, *(f"before_{n}" for n in OF_A_FACT)]
    assert list(rows[0]) == ["fact", *columns, *kinds, *(f"before_{n}" for n in kinds)]
    assert list(data["summary"]["kinds"]) == kinds  # letter for letter
    assert [data["summary"]["kinds"][f"locality/{k}"]["facts"] for k in KINDS.locality] == [
        1, 1, 2, 1,
    ]  # fmt: skip
    for row, fact in zip(rows, evaluation.facts, strict=True):
        for name in kinds:
            for cell, of in ((row[name], fact.kinds), (row[f"before_{name}"], fact.kinds_before)):
                assert cell == (repr(of[name]) if name in of else "")
    assert rows[1]["locality/unrelated"] == ""
    assert rows[1]["locality"] == ""  # no probe: neither 0 nor nan
    assert float(rows[0]["locality"]) == evaluation.facts[0].scores["locality"]
    records = [json.loads(line) for line in paths[2].read_text().split("\n") if line]
    assert len(records) == 10 + 1 + 1 + 1 + 5 + 5  # probes of the facts that fit, and their texts
    assert {
        "fact", "kind", "subtype", "prompt", "answers", "answer_ids", "argmax_ids_before",
        "argmax_tokens_after", "log_probs_after", "rival", "rival_log_probs_before",
        "generated_before", "generated_after", "score_after", "right_after", "wins_after",
    } <= set(records[0])  # fmt: skip


def test_a_failed_write_leaves_the_old_result_whole(evaluation, tmp_path, monkeypatch):
    evaluation.save(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(evaluation, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(evaluation_files, "_csv", fail)
    with pytest.raises(ResultError, match="cannot be written: disk full"):
        evaluation.save(tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_place_that_cannot_be_written(evaluation, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultError, match="cannot be written"):
        evaluation.save(tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="x"), "not an evaluation"),
        (lambda d: d.update(format_version=99), "format version 99; this golden-layers reads 2"),
        (
            lambda d: d.update(format_version=[]),
            "format version \\[\\]; this golden-layers reads 2",
        ),
        (
            lambda d: d.update(format_version=1),
            "version 1 has no scores by kind, and its locality .*; evaluate again",
        ),
        (
            lambda d: d["summary"]["kinds"]["locality/unrelated"].update(after=0.123),
            "does not belong to the evaluation.json",
        ),
        (lambda d: d.pop("settings"), "damaged: KeyError 'settings'"),
        (lambda d: d["skipped"][0].update(extra=1), "damaged: TypeError"),
        (lambda d: d["summary"].update(facts=99), "does not belong to the evaluation.json"),
        (
            lambda d: d.update(files={"scores": "../../etc/passwd", "outputs": "outputs.jsonl"}),
            "passwd: the scores by fact cannot be read",
        ),
    ],
)
def test_damaged_json(evaluation, tmp_path, change, message):
    path = evaluation.save(tmp_path)[0]
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(ResultError, match=message) as error:
        Evaluation.load(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "not json at all"])
def test_a_file_that_is_no_evaluation(tmp_path, text):
    (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(ResultError, match=r"not (readable as JSON|an evaluation)"):
        Evaluation.load(tmp_path)


def test_no_file(tmp_path):
    with pytest.raises(ResultError, match="no such file; expected the folder"):
        Evaluation.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("scores.csv", lambda t: t[: len(t) // 2]),
        ("scores.csv", lambda t: t.replace("rewrite", "x", 1)),
        ("scores.csv", lambda t: ""),
        ("scores.csv", lambda t: t.replace(",locality/unrelated", ",locality/x", 1)),
        ("scores.csv", lambda t: t.replace("locality/unrelated", "fluency/unrelated")),
        ("scores.csv", lambda t: t.replace(",before_portability/alias", "", 1)),
        ("outputs.jsonl", lambda t: t[: len(t) // 2]),
        ("outputs.jsonl", lambda t: t + "[1]\n"),
        ("outputs.jsonl", None),
    ],
)
def test_damaged_tables(evaluation, tmp_path, name, damage):
    evaluation.save(tmp_path)
    path = tmp_path / name
    path.unlink() if damage is None else path.write_text(damage(path.read_text()))
    with pytest.raises(ResultError, match=rf"{name}|damaged"):
        Evaluation.load(tmp_path)
