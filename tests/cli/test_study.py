"""`golden-layers study` and `report`, from a file of settings to a folder of figures."""

from __future__ import annotations

import csv
import json

import pytest

from tests.study.run import studies


@pytest.fixture
def settings(tmp_path, llama):
    """Return a file of settings that takes seconds."""
    facts = studies.facts_file(tmp_path / "mine.jsonl")
    path = tmp_path / "study.yaml"
    path.write_text(
        f"""
name: a small study
models: [{{model: {llama}, name: little}}]
data: [{facts.name}]
editors: {{editor: r-rome, settings: {{steps: 3}}}}
locators: [lga, middle]
proxy: 2
repeats: 1
test: 2
traced: own
sensitivity: false
timing: false
stories: 1
side_effects: 1
""",
        encoding="utf-8",
    )
    return path


def test_plan_then_study_then_report(cli, settings, tmp_path):
    out = tmp_path / "run"
    result = cli("study", settings, "--out", out, "--plan")
    assert result.status == 0
    assert "the study of little" in result.err
    assert "nothing was run but what the pace is measured by" in result.err
    assert not list(out.rglob("comparison.json"))
    result = cli("study", settings, "--out", out)
    assert result.status == 0
    assert f"golden-layers report {out}" in result.err
    index = json.loads((out / "study.json").read_text())
    assert len(index["pieces"]) == 4
    assert index["command"].startswith("golden-layers study")
    result = cli("study", settings, "--out", out)
    assert result.status == 0
    assert "comparisons:" not in result.err  # nothing is done twice

    some = ("report", out, "--only", "deviation-by-layer", "--out", tmp_path / "one")
    result = cli(*some, "--where", "score=rewrite")
    assert result.status == 0, result.err
    assert {p.suffix for p in (tmp_path / "one").iterdir()} == {".png", ".svg", ".csv"}
    assert all("rewrite" in p.name for p in (tmp_path / "one").iterdir())
    assert "did you mean score?" in cli(*some, "--where", "scores=rewrite").message
    result = cli("report", out, "--only", "scores,deviation-by-layer", "--out", tmp_path / "some")
    assert result.status == 0
    files = list((tmp_path / "some").iterdir())
    assert {p.name.split("--")[0] for p in files} == {"scores", "deviation-by-layer"}
    assert {p.suffix for p in files if p.name.startswith("dev")} == {".png", ".svg", ".csv"}
    (table,) = [p for p in files if p.name.startswith("scores")]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["chosen by"] for r in rows] == ["LGA", "middle", "best of the test facts"]

    result = cli("report", out)
    assert result.status == 0
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    assert "a small study" in page
    assert str(out / "report" / "report.html") in result.out
    assert list((out / "report" / "figures").glob("*.png"))
    first = {p: p.read_bytes() for p in (out / "report").rglob("*") if p.is_file()}
    assert cli("report", out).status == 0
    assert {p: p.read_bytes() for p in (out / "report").rglob("*") if p.is_file()} == first

    result = cli("report", out, "--format", "md", "--out", tmp_path / "md")
    assert result.status == 0
    text = (tmp_path / "md" / "report.md").read_text(encoding="utf-8")
    for line in text.split("](")[1:]:
        target = line.split(")")[0]
        if target.endswith((".png", ".csv")):
            assert (tmp_path / "md" / target).is_file()


def test_what_cannot_be_read_is_said(cli, settings, tmp_path):
    assert "No such file" in cli("study", tmp_path / "none.yaml").message
    settings.write_text("models: [bundled]\ndata: [bundled]\nlocator: lga\n")
    assert "'locator' is unknown; did you mean locators" in cli("study", settings).message
    assert "expected what golden-layers study wrote" in cli("report", tmp_path).message
    assert "expected html or md" in cli("report", tmp_path, "--format", "pdf").message


def test_an_unknown_figure_is_named(cli, settings, tmp_path):
    cli("study", settings, "--out", tmp_path / "run")
    message = cli("report", tmp_path / "run", "--only", "score").message
    assert "'score' is none of" in message
    assert "did you mean scores" in message


def test_help_teaches(cli):
    text = cli("study", "--help").out
    assert "models: [bundled]" in text
    assert "golden-layers study study.yaml --plan" in text
    assert "opens offline" in cli("report", "--help").out
