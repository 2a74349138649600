"""`golden-layers evaluate --sequential`: facts one after another, and batch after batch."""

from __future__ import annotations

import json

import pytest

import goldenlayers as gl
from tests.cli.evaluate.conftest import QUICK, names, read


def test_in_sequence(evaluate, tmp_path):
    options = ("--layers", "1", "--sequential", "--every", "2", "--editor", "rome, r-rome,rome")
    result = evaluate(*options, "--templates", "short", "--no-fluency", "--steps", 3)
    data = read(tmp_path / "out" / "sequence.json")["sequences"]
    assert names(tmp_path / "out") == [
        "r-rome-layer-001", "rome-layer-001", "sequence.csv", "sequence.json", "sequence.png",
    ]  # fmt: skip
    assert [(s["editor"], s["layers"]) for s in data] == [("rome", [1]), ("r-rome", [1])]
    assert [m["edits"] for m in data[0]["milestones"]] == [0, 2, 3]
    growth = [s["milestones"][-1]["weight_growth"] for s in data]
    assert growth[0] != growth[1]
    rows = [line.split() for line in result.out.splitlines() if line.startswith(("rome", "r-rome"))]
    assert [row[:3] for row in rows] == [[e, "1", n] for e in ("rome", "r-rome") for n in "023"]
    assert f"{data[1]['milestones'][1]['scores']['locality'] * 100:.1f}" == rows[4][6]
    printed = evaluate(*options[:5], "--json", *QUICK)
    again = read(tmp_path / "out" / "sequence.json")["sequences"]
    assert json.loads(printed.out, parse_constant=pytest.fail) == again


def test_batches_in_sequence(evaluate, tmp_path):
    (tmp_path / "text.txt").write_text("The town stands by the sea. The sea is cold.")
    options = ("--layers", "1,2", "--sequential", "--batch", "2", "--every", "1", "--no-fluency")
    evaluate(
        *options, "--editor", "memit", "--steps", 3, "--text", tmp_path / "text.txt",
        "--set", "lam=0.1", "--templates", "bare",
    )  # fmt: skip
    (found,) = read(tmp_path / "out" / "sequence.json")["sequences"]
    assert (found["layers"], found["settings"]["batch"]) == ([1, 2], 2)
    assert [m["edits"] for m in found["milestones"]] == [0, 2, 3]
    assert found["settings"]["covariance"]["1"]["tokens"] > 0  # taken without being asked for
    assert len({m["scores"]["perplexity"] for m in found["milestones"]}) == 3
    edit = gl.Edit.load(tmp_path / "out" / "memit-layer-001-002" / "edit.safetensors")
    assert [(u.layer, u.rank) for u in edit.updates] == [(1, 3), (2, 3)]


def test_a_sequence_that_was_stopped_goes_on(evaluate, cli, llama, facts, tmp_path, monkeypatch):
    from goldenlayers.study import sequence

    options = ("--layers", "1", "--sequential", "--every", "1", *QUICK)
    whole = evaluate(*options, "--json", "--editor", "rome,r-rome", out=tmp_path / "whole")
    scored, done = sequence.evaluate, []

    def stop(*args, **more):
        if len(done) == 6:
            raise KeyboardInterrupt
        done.append(1)
        return scored(*args, **more)

    given = ("--model", llama, "--facts", facts, "--out", tmp_path / "out", *options)
    given = (*given, "--editor", "rome,r-rome")
    monkeypatch.setattr(sequence, "evaluate", stop)
    result = cli("evaluate", *given)
    assert result.status == 130
    assert "the same command with --resume goes on" in " ".join(result.err.split())
    assert not (tmp_path / "out" / "sequence.json").exists()
    monkeypatch.setattr(sequence, "evaluate", scored)
    assert "was not finished; go on with it (--resume" in cli("evaluate", *given).message
    assert "other settings" in cli("evaluate", *given, "--resume", "--every", 2).message
    again = evaluate(*options, "--json", "--resume", "--editor", "rome,r-rome")
    assert untimed(json.loads(again.out)) == untimed(json.loads(whole.out))
    assert not (tmp_path / "out" / "unfinished").exists()
    assert names(tmp_path / "out" / "rome-layer-001") == names(tmp_path / "whole/rome-layer-001")


def untimed(sequences):
    for one in sequences:
        for m in one["milestones"]:
            m["seconds"] = None
    return sequences
