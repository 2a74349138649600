"""The report of an edit: complete, whole or not there, and fit for a terminal."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from goldenlayers.editors.edit import Edit, Step
from goldenlayers.errors import ResultError
from goldenlayers.metrics.evaluation import Evaluation, FactScores
from goldenlayers.metrics.scores import OF_A_FACT
from goldenlayers.report.before_after import BeforeAfter, Look
from goldenlayers.report.edit_report import EditReport, require_place
from tests import tiny
from tests.editors.edits import random_edit
from tests.editors.test_edit import same, state


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


@pytest.fixture
def report(model):
    edit = random_edit(model)
    settings = {"layers": [1], "layer_chosen_by": "given", "lr": 0.5}
    failed = replace(
        edit.outcomes[1], status="not converged", reason="it stays at 9.9 nats", nll_after=math.nan,
        steps=(Step(3.5, 3.0, 0.25, 0.25, 0.0), Step(math.inf, math.nan, 0.0, 0.0, 2.5)),
    )  # fmt: skip
    edit = replace(edit, settings=settings, outcomes=(edit.outcomes[0], failed))
    looks = [
        BeforeAfter(
            o.fact, Look(((" Paris", 0.75),), ("Paris.",)), Look(((" Lyon", 0.5),), ("ok",))
        )
        for o in edit.outcomes
    ]
    rows = [
        FactScores(o.fact.id, dict.fromkeys(OF_A_FACT, 1.0), dict.fromkeys(OF_A_FACT, 0.0))
        for o in edit.outcomes
    ]
    return EditReport(edit, tuple(looks), Evaluation(tuple(rows)), "tiny.jsonl")


def shown(report, written=(), width=100):
    console = Console(width=width)
    with console.capture() as capture:
        report.show(console, written)
    return capture.get()


def test_what_is_missing_is_a_dash(report):
    broken = Look(((" Lyon", math.nan),), ("ok",))
    looks = tuple(replace(one, after=broken) for one in report.facts)
    bare = tuple(FactScores(o.fact.id, {}, {}) for o in report.edit.outcomes)
    text = shown(
        replace(
            report,
            edit=replace(report.edit, seconds={}),
            facts=looks,
            evaluation=Evaluation(bare),
        )
    )
    (tokens, _) = [
        line.split() for line in text.splitlines() if "' Paris'" in line or "' Lyon'" in line
    ]
    assert tokens == ["'", "Paris'", "75.0%", "'", "Lyon'", "–"]
    assert "nan%" not in text
    assert "0.0 s" not in text
    for name in ("rewrite", "rephrase", "locality", "portability", "mean"):
        (row,) = [line for line in text.splitlines() if line.split()[:1] == [name]]
        assert row.split() == [name, "–", "–", "–", "–", "0"]


def save(report, folder, *formats):
    return report.save(folder, formats, tiny.model("llama"), tiny.tokenizer("llama"))


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_it_is_complete_and_strict(report):
    data = report.to_dict()
    json.dumps(data, allow_nan=False)
    assert (data["format"], data["format_version"]) == ("golden-layers edit report", 1)
    assert (data["editor"], data["layers"], data["rank"]) == ("r-rome", [1], 1)
    assert data["converged"] == 1
    assert data["source"] == "tiny.jsonl"
    assert data["norms"] == report.edit.norms
    assert data["settings"]["lr"] == 0.5
    first, failed = data["outcomes"]
    assert (first["status"], first["loss"], first["losses"]) == ("converged", 0.04, [3.5, 0.04])
    assert first["nll_before"] == 7.25
    assert first["details"]["tries"] == [1, 2]
    assert (failed["nll_after"], failed["loss"], failed["losses"]) == (None, None, [3.5, None])
    assert failed["reason"] == "it stays at 9.9 nats"
    assert [f["id"] for f in data["facts"]] == [o.fact.id for o in report.edit.outcomes]
    assert data["scores"]["scores"]["rewrite"]["after"] == 1.0
    assert {"model", "versions", "seconds"} <= set(data)


def test_all_files_together(report, model, tmp_path):
    before = state(model)
    out = tmp_path / "a" / "out"
    written = report.save(out, ("delta", "adapter", "model"), model, tiny.tokenizer("llama"))
    assert same(model, before)
    names = [str(p.relative_to(out)) for p in written]
    assert names == [
        "edit.safetensors", "adapter", "model", "evaluation/evaluation.json",
        "evaluation/scores.csv", "evaluation/outputs.jsonl", "report.json",
    ]  # fmt: skip
    assert all(p.exists() for p in written)
    assert sorted(p.name for p in out.iterdir()) == [
        "adapter", "edit.safetensors", "evaluation", "model", "report.json",
    ]  # fmt: skip
    data = json.loads((out / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert data == {**json.loads(json.dumps(report.to_dict())), "files": names[:-1]}
    for name in ("edit.safetensors", "adapter", "model"):
        assert Edit.load(out / name).updates == report.edit.updates


def test_a_second_run_replaces_the_first_and_touches_nothing_else(report, tmp_path):
    save(report, tmp_path, "delta", "adapter", "model")
    (tmp_path / "mine.txt").write_text("kept")
    (tmp_path / "evaluation" / "mine.txt").write_text("kept, too")
    (tmp_path / "adapter" / "old.txt").write_text("goes with the folder")
    other = replace(report, edit=replace(report.edit, editor="rome"))
    save(other, tmp_path, "delta", "adapter", "model")
    for name in ("edit.safetensors", "adapter", "model"):
        assert Edit.load(tmp_path / name).editor == "rome"
    assert not (tmp_path / "adapter" / "old.txt").exists()
    assert (tmp_path / "mine.txt").read_text() == "kept"
    assert (tmp_path / "evaluation" / "mine.txt").read_text() == "kept, too"
    # what this run does not write must not pass for a result of it
    save(report, tmp_path, "adapter")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "adapter", "evaluation", "mine.txt", "report.json",
    ]  # fmt: skip


def test_an_edit_that_changes_nothing_leaves_no_edit_behind(report, tmp_path):
    save(report, tmp_path, "delta", "adapter")
    nothing = replace(report, edit=replace(report.edit, updates=()))
    written = save(nothing, tmp_path, "delta", "adapter")
    assert [p.name for p in tmp_path.iterdir() if "edit" in p.name or "adapter" in p.name] == []
    assert written[-1].name == "report.json"
    assert "no edit was written" in shown(nothing, written)
    assert "golden-layers apply" not in shown(nothing, written)


FOREIGN = {
    "edit.safetensors": "is no edit that golden-layers wrote",
    "report.json": "golden-layers did not write it",
    "evaluation/evaluation.json": "golden-layers did not write it",
    "ranking/ranking.json": "golden-layers did not write it",
    "evaluation": "a file; choose another folder",
    "ranking": "a file; choose another folder",
    "adapter/adapter_config.json": "golden-layers did not write it",
    "adapter": "a file; expected a new folder",
    "model/config.json": "golden-layers did not write it",
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("content", [b"{}", b"\xff\x00", b""])
def test_what_somebody_else_wrote_stays(report, tmp_path, name, content):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ResultError, match=FOREIGN[name]):
        require_place(tmp_path, ["delta", "adapter", "model"])
    with pytest.raises(ResultError, match=FOREIGN[name]):
        save(report, tmp_path, "delta", "adapter", "model")
    assert files(tmp_path) == {name: content}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("there", [False, True])
def test_stopped_half_way_nothing_is_written(report, tmp_path, monkeypatch, error, there):
    out = tmp_path / "out"
    if there:
        save(report, out, "delta", "adapter")
    before = files(tmp_path)

    def stop(self, folder):
        raise error

    monkeypatch.setattr(Evaluation, "save", stop)
    with pytest.raises(error):
        save(replace(report, source="other"), out, "delta", "adapter", "model")
    assert files(tmp_path) == before
    assert out.exists() is there


def test_what_is_shown(report, tmp_path):
    text = shown(report, [tmp_path / "my results" / "edit.safetensors"])
    assert "The capital of Norland is → Bergstad  converged: 0.040 nats a token" in text
    assert "' Paris'           75.0%" in text
    assert "1 of 2 facts took  r-rome at layer 1 (chosen by: given), rank 1" in text
    assert "not edited as wanted 2: it stays at 9.9 nats" in text
    apply = next(line for line in text.splitlines() if line.startswith("next"))
    assert f"golden-layers apply '{tmp_path}/my results/edit.safetensors' --model " in apply


def test_texts_of_others_are_shown_as_they_are(report):
    first, second = report.facts
    hostile = "[bold]x[/] [/nope]\x1b[31m\x07\u202e\n[link=http://x]"
    look = Look(((hostile, 0.5),), (hostile,))
    fact = replace(first.fact, prompt=hostile, target_new=hostile, id=hostile)
    outcome = replace(report.edit.outcomes[1], fact=fact, reason=hostile)
    edit = replace(report.edit, outcomes=(report.edit.outcomes[0], outcome))
    text = shown(replace(report, edit=edit, facts=(second, BeforeAfter(fact, look, look))))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert r"[bold]x[/] [/nope]\x1b[31m\x07\u202e\n[link=http://x]" in text


def test_many_facts_are_counted(report):
    outcomes = tuple(
        replace(report.edit.outcomes[1], fact=replace(tiny.FACTS[0], id=f"n{i}")) for i in range(40)
    )
    edit = replace(report.edit, outcomes=outcomes)
    text = shown(replace(report, edit=edit, facts=report.facts[:1] * 40))
    assert "… and 37 facts more, in report.json" in text
    assert text.count("not edited as wanted") == 10
    assert "… and 30 more, in report.json" in text
    assert "0 of 40 facts took" in text
