"""`find` with methods that edit, and `compare`: options, stores, Ctrl-C, results."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from rich.console import Console
from rich.progress import Task, TaskID
from rich.table import Table

from goldenlayers.cli import console
from goldenlayers.sweep import engine
from tests.locators.traced_facts import known
from tests.study.test_compare import SPLIT

QUICK = ("--steps", 3, "--lr", 0.3, "--clamp", 3)
SPLIT = [dataclasses.replace(f, id=f.id.replace(".", "-")) for f in SPLIT]


@pytest.fixture
def facts(write_facts):
    return write_facts(SPLIT, "split.jsonl")


@pytest.fixture
def stop_after(monkeypatch):
    """Return a function that makes Ctrl-C come after so many runs of the engine; None lets go."""
    state = {"runs": 0, "most": None}
    run = engine.Sweep.run

    def wrapped(self, *args, **options):
        if state["most"] is not None and state["runs"] >= state["most"]:
            raise KeyboardInterrupt
        state["runs"] += 1
        return run(self, *args, **options)

    monkeypatch.setattr(engine.Sweep, "run", wrapped)

    def stop(most):
        state.update(runs=0, most=most)

    return stop


def test_find_by_brute_force(cli, llama, facts, tmp_path):
    out = tmp_path / "out"
    result = cli(
        "find", "--model", llama, "--facts", facts, "--method", "brute-force", "--limit", 2,
        "--objective", "locality", "--layers", "1-3", "--out", out, *QUICK,
    )  # fmt: skip
    assert result.status == 0, result.err
    data = json.loads((out / "ranking.json").read_text())
    assert [s["layer"] for s in data["layers"]] == [1, 2, 3]
    assert data["settings"]["objective"] == "locality"
    assert data["settings"]["editor_settings"]["steps"] == 3
    assert "Ceiling:" in result.out
    assert "± s.e." in result.out
    assert (out / "sweep.sqlite").exists()


def test_ctrl_c_keeps_what_is_done_and_resume_goes_on(cli, llama, facts, tmp_path, stop_after):
    out = tmp_path / "out"
    command = (
        "find", "--model", llama, "--facts", facts, "--method", "brute-force", "--out", out,
        "--batch-tokens", 40, *QUICK,
    )  # fmt: skip
    stop_after(0)
    result = cli(*command)
    assert result.status == 130
    assert "stopped after 0 of 36 edits" in result.err
    assert not (out / "ranking.json").exists()
    stop_after(2)
    result = cli(*command, "--resume")
    assert result.status == 130, result.err
    assert "Stopped: these are the" in result.out  # ranked by what is done
    assert "--resume goes on" in result.err
    part = json.loads((out / "ranking.json").read_text())
    assert 0 < len(part["answers"]) < 9
    stop_after(None)
    assert "outcomes of a sweep are there" in cli(*command).message
    result = cli(*command, "--resume")
    assert result.status == 0, result.err
    assert len(json.loads((out / "ranking.json").read_text())["answers"]) == 9
    other = cli(*command, "--resume", "--weight-decay", 0.3)
    assert "holds a sweep of another kind: its settings differ in weight_decay" in other.message


def test_a_store_of_another_model_or_other_facts_is_refused(
    cli, llama, gpt2, facts, write_facts, tmp_path
):
    def command(model, file, *more):
        return cli(
            "find", "--model", model, "--facts", file, "--method", "brute-force", "--layers", 1,
            "--limit", 2, "--out", tmp_path / "out", *QUICK, *more,
        )  # fmt: skip

    assert command(llama, facts).status == 0
    assert "its model" in command(gpt2, facts, "--resume").message
    other = write_facts(SPLIT[1:], "other.jsonl")
    assert "its facts" in command(llama, other, "--resume").message
    assert command(llama, facts, "--resume").status == 0


def test_find_verified(cli, llama, facts, tmp_path):
    out = tmp_path / "out"
    result = cli(
        "find", "--model", llama, "--facts", facts, "--method", "verified", "--race", "all",
        "--confidence", 0.8, "--out", out, *QUICK,
    )  # fmt: skip
    assert result.status == 0, result.err
    data = json.loads((out / "ranking.json").read_text())
    assert data["settings"]["race"] == 0
    assert data["details"]["confidence"] == 0.8
    assert "a full sweep makes" in result.out


def test_find_staged(cli, llama, facts, tmp_path):
    out = tmp_path / "out"
    result = cli(
        "find", "--model", llama, "--facts", facts, "--method", "staged", "--share", 0.5,
        "--most-edits", 5, "--out", out, *QUICK,
    )  # fmt: skip
    assert result.status == 0, result.err
    data = json.loads((out / "ranking.json").read_text())
    assert data["settings"]["share"] == 0.5
    assert 3 <= data["details"]["edits"] <= 6
    assert "points better than the chosen one" in " ".join(result.out.split())
    assert "the same command with --resume --most-edits 10: " in " ".join(result.out.split())


def test_the_plain_command_is_staged_and_goes_on_by_itself(cli, llama, facts, tmp_path, stop_after):
    out = tmp_path / "out"
    command = ("find", "--model", llama, "--facts", facts, "--out", out, *QUICK)
    stop_after(1)
    assert cli(*command).status == 130
    assert not (out / "ranking.json").exists()
    stop_after(None)
    first = cli(*command)
    assert first.status == 0, first.err
    assert " edits are there already, in " in first.err
    ranking = (out / "ranking.json").read_text()
    assert json.loads(ranking)["method"] == "staged"
    assert "LGA chooses" in first.out
    again = cli(*command)
    assert again.status == 0, again.err
    kept, new = (json.loads(text) for text in (ranking, (out / "ranking.json").read_text()))
    assert (kept["layers"], kept["details"]["edits"]) == (new["layers"], new["details"]["edits"])
    # a method that is named does not go on unless it is asked to
    assert "outcomes of a sweep are there" in cli(*command, "--method", "staged").message


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--confidence", 0.9), "--confidence has no effect with --method auto, which is staged; it "
      "has with lga, "),
     (("--method", "lga", "--objective", "mean"), "--objective has no effect with --method lga; "
      "it has with verified, staged, brute-force"),
     (("--method", "lga", "--resume"), "--resume has no effect with --method lga"),
     (("--method", "brute-force", "--fence", 2), "--fence has no effect with --method brute-force"),
     (("--method", "middle", "--lr", 1), "--lr has no effect with --method middle"),
     (("--method", "verified", "--race", "some"), "--race 'some': expected a number of layers"),
     (("--method", "verified", "--heat-map", "x"), "--heat-map has no effect with --method"),
     (("--method", "verified", "--share", 0.2), "--share has no effect with --method verified"),
     (("--method", "staged", "--share", 2), "share 2.0: expected a number above 0"),
     (("--method", "best"), "method 'best' is unknown"),
     (("--method", "brute-force", "--objective", "best"), "objective 'best' is unknown")],
)  # fmt: skip
def test_options_without_effect_are_refused_before_the_model_is_loaded(cli, options, message):
    assert message in cli("find", "--model", "/no/such/model", *options).message


def test_compare(cli, llama, facts, tmp_path):
    out = tmp_path / "out"
    command = (
        "compare", "--model", llama, "--facts", facts, "--proxy", 3, "--repeats", 2,
        "--methods", "lga,verified,brute-force,middle,random,fixed:1", "--out", out, *QUICK,
    )  # fmt: skip
    result = cli(*command)
    assert result.status == 0, result.err
    data = json.loads((out / "comparison.json").read_text())
    assert len(data["methods"]) == 6
    assert data["settings"]["editor_settings"]["steps"] == 3
    for word in ("oracle floor", "rank corr.", "fixed:1", "golden layer of the 6 test facts"):
        assert word in result.out
    result = cli(*command, "--resume", "--json")
    again = json.loads(result.out)
    assert again["test"] == data["test"]
    assert "oracle floor" in result.err


def test_compare_stopped(cli, llama, facts, tmp_path, stop_after):
    out = tmp_path / "out"
    stop_after(1)
    result = cli(
        "compare", "--model", llama, "--facts", facts, "--proxy", 3, "--repeats", 2,
        "--methods", "middle", "--out", out, *QUICK,
    )  # fmt: skip
    assert result.status == 130
    assert "kept in" in result.err
    assert [p.name for p in out.iterdir()] == ["sweep.sqlite"]


def test_compare_refuses_before_the_model_is_loaded(cli, facts):
    at = ("compare", "--model", "/no/such/model", "--facts", facts)
    assert "method 'best' is unknown" in cli(*at, "--methods", "lga,best").message
    assert "editor 'mend' is unknown" in cli(*at, "--editor", "mend").message


def test_find_by_tracing_draws_the_heat_map_that_is_asked_for(cli, llama, write_facts, tmp_path):
    known_facts = known("llama")
    assert len(known_facts) > 1
    path = write_facts(known_facts, "known.jsonl")
    out = tmp_path / "out"
    command = ("find", "--model", llama, "--facts", path, "--method", "cma", "--out", out)
    result = cli(*command, "--draws", 3, "--window", 2, "--heat-map", known_facts[0].id)
    assert result.status == 0, result.err
    data = json.loads((out / "ranking.json").read_text())
    assert data["files"]["heat_map"] == "heat_map.png"
    assert data["details"]["heat_map"]["fact"] == known_facts[0].id
    assert (out / "heat_map.png").read_bytes().startswith(b"\x89PNG")
    result = cli(*command, "--draws", 3, "--kind", "state")
    assert result.status == 0, result.err
    assert not (out / "heat_map.png").exists()  # the earlier run's
    assert "heat_map" not in json.loads((out / "ranking.json").read_text())["files"]
    assert "no fact that is traced has this id" in cli(*command, "--heat-map", "nobody").message


def test_the_other_choosers(cli, llama, write_facts, tmp_path):
    path = write_facts(known("llama"), "known.jsonl")
    methods = ("attribution-patching", "gradient-norm", "predicted:need", "middle", "random",
               "fixed:2")  # fmt: skip
    for method in methods:
        out = tmp_path / method.replace(":", "")
        result = cli("find", "--model", llama, "--facts", path, "--method", method, "--out", out)
        assert result.status == 0, result.err
        data = json.loads((out / "ranking.json").read_text())
        assert data["method"] == method.removesuffix(":need")
        assert f"golden layer: {data['golden']}" in result.out
        assert (out / "scores.png").exists()


def test_a_table_is_whole_in_a_narrow_terminal():
    narrow = Console(file=io.StringIO(), width=40)
    made = Table(box=None)
    for n in range(12):
        made.add_column(f"column {n}", no_wrap=True)
    made.add_row(*[f"value {n}" for n in range(12)])
    console.table(made, narrow)
    text = narrow.file.getvalue()
    assert all(f"column {n}" in text and f"value {n}" in text for n in range(12))


def test_rates_are_told_by_the_second_or_the_minute():
    def rate(speed):
        task = Task(TaskID(0), "edits", 100, 10, _get_time=lambda: 0.0)
        task.finished_speed = speed
        return console.Rate().render(task).plain

    assert rate(2.5) == "2.5/s"
    assert rate(0.05) == "3.0/min"
    assert rate(None) == ""
