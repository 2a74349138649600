"""`golden-layers evaluate`: a model, a model with edits, edits by layer."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace

import pytest
import torch

import goldenlayers as gl
from goldenlayers.editors.edit import Edit
from goldenlayers.metrics.evaluation import Evaluation
from tests import tiny
from tests.cli.evaluate.conftest import FACTS, QUICK, names, read
from tests.editors.edits import random_edit


@pytest.fixture
def made(llama, tmp_path):
    """Save two edits of the model; return (path, edit) of each."""
    model = gl.load_model(str(llama)).model
    edits = [random_edit(model, (1,), seed=0), random_edit(model, (2,), seed=2)]
    paths = [edits[0].save(tmp_path / "a.safetensors")[0], tmp_path / "b"]
    edits[1].save(paths[1], "adapter")
    return list(zip(paths, edits, strict=True))


def test_a_model_as_it_is(evaluate, llama, tmp_path):
    result = evaluate()
    found = Evaluation.load(tmp_path / "out")
    loaded = gl.load_model(str(llama))
    expected = gl.evaluate(loaded.model, loaded.tokenizer, FACTS)
    assert [f.id for f in found.facts] == ["1", "2", "3"]
    assert found.facts == expected.facts
    assert all(one.scores == one.before for one in found.facts)
    assert names(tmp_path / "out") == ["evaluation.json", "outputs.jsonl", "scores.csv"]
    assert all(str(tmp_path / "out" / name) in result.out for name in names(tmp_path / "out"))
    text = " ".join(result.out.split())
    assert "generated generated score before after before after facts" in text
    assert f"fluency (bits) {found.mean('fluency'):.2f} " in text
    spread = found.standard_error("fluency")
    assert f"{found.mean('fluency'):.2f} ± {spread:.2f}" in text
    assert "mean: of rewrite, rephrase, locality, unweighted" in text
    outputs = (tmp_path / "out" / "outputs.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(outputs) == len(found.outputs) == 12  # three probes and a text per fact


def test_with_edits_on(evaluate, made, llama, tmp_path):
    (a, edit_a), (b, edit_b) = made
    loaded = gl.load_model(str(llama))
    for paths, edit in (([a], edit_a), ([a, b], Edit.compose([edit_a, edit_b]))):
        evaluate(*[x for path in paths for x in ("--edit", path)], "--no-fluency")
        found = Evaluation.load(tmp_path / "out")
        expected = gl.evaluate(loaded.model, loaded.tokenizer, FACTS, edit=edit, fluency=False)
        assert found.facts == expected.facts
        assert any(f.scores["nll_new"] != f.before["nll_new"] for f in found.facts)
        assert found.settings["edit"] == "applied"


def test_edits_that_do_not_fit(refuse, made, gpt2, save_model, tmp_path, monkeypatch):
    (a, _), _ = made
    tuned = tiny.model("llama", torch.float32)
    with torch.no_grad():
        tuned.model.layers[1].mlp.down_proj.weight[0, 0] += 1e-3
    # refused before the unedited model is asked, which may take an hour
    monkeypatch.setattr(
        "goldenlayers.metrics.evaluate.ask_unedited", lambda *a, **k: pytest.fail("asked")
    )
    assert "not the base of the edit" in refuse("--edit", a, model=save_model(tuned))
    assert "no module 'model.layers.1.mlp.down_proj'" in refuse("--edit", a, model=gpt2)
    nowhere = {"model": "/no/such/model"}
    assert "no such file" in refuse("--edit", tmp_path / "none", **nowhere)
    a.write_bytes(a.read_bytes()[:100])
    assert str(a) in refuse("--edit", a, **nowhere)


def test_by_layer(evaluate, tmp_path, llama):
    result = evaluate("--layers", "0-1,2", *QUICK, "--json")
    data = read(tmp_path / "out" / "layers.json")
    assert json.loads(result.out, parse_constant=pytest.fail) == data
    assert [x["layer"] for x in data["layers"]] == [0, 1, 2]
    assert data["settings"]["steps"] == 2
    assert data["model"]["name"] == str(llama)
    folders = ["layer-000", "layer-001", "layer-002"]
    assert names(tmp_path / "out") == [*folders, "layers.csv", "layers.json"]
    rows = list(csv.DictReader((tmp_path / "out" / "layers.csv").open(encoding="utf-8")))
    for name, layer, row in zip(folders, data["layers"], rows, strict=True):
        found = Evaluation.load(tmp_path / "out" / name)
        assert found.summary() == layer["scores"]
        assert float(row["locality"]) == found.mean("locality")
        line = f"{layer['layer']} {layer['converged']}/3 "
        assert line in " ".join(result.err.split())
    loaded = gl.load_model(str(llama))
    edit = gl.edit(loaded.model, loaded.tokenizer, FACTS[1], 1, templates="bare", steps=2)
    expected = gl.evaluate(loaded.model, loaded.tokenizer, FACTS[1:2], edit=edit, fluency=False)
    assert Evaluation.load(tmp_path / "out" / "layer-001").facts[1] == expected.facts[0]


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_by_layer_fits(evaluate, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    result = evaluate("--layers", "0-1", "--templates", "bare", "--steps", 1)
    lines = result.out.splitlines()
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith("mean: "))]
    assert len(table) == 4
    assert all(len(line) <= width for line in table)
    assert "…" not in "".join(table)


def test_every_setting_of_an_editor_can_be_set(evaluate, tmp_path):
    evaluate(
        "--layers", "1", *QUICK, "--occurrence", "first", "--stop-loss", 0.2,
        "--converged-below", 3, "--ridge", 0.5, "--lr", 0.1, "--clamp", 2, "--kl-factor", 0,
        "--weight-decay", 0.1, "--value-from", "mean",
    )  # fmt: skip
    settings = read(tmp_path / "out" / "layers.json")["settings"]
    wanted = {
        "occurrence": "first", "stop_loss": 0.2, "converged_below": 3, "ridge": 0.5, "lr": 0.1,
        "clamp": 2, "kl_factor": 0, "weight_decay": 0.1, "value_from": "mean",
    }  # fmt: skip
    assert {name: settings[name] for name in wanted} == wanted


def test_auto(evaluate, write_facts, tmp_path):
    marked = [replace(f, split="proxy" if i else "test") for i, f in enumerate(tiny.FACTS)]
    result = evaluate("--layers", "auto,3", *QUICK, facts=write_facts(marked, "marked.jsonl"))
    data = read(tmp_path / "out" / "layers.json")
    golden = data["layers"][0]["layer"]
    assert f"golden layer {golden} by LGA on 6 facts" in result.err
    assert [x["facts"] for x in data["layers"]] == [1] * len(data["layers"])
    assert "±" not in result.out.partition("mean: ")[0]  # one fact has no standard error


def test_windows_by_layer(evaluate, tmp_path):
    more = ("--editor", "memit", "--set", "window=2", "--set", "lam=0.1", *QUICK)
    result = evaluate("--layers", "0,auto", *more)
    found = read(tmp_path / "out" / "layers.json")
    assert "memit; a layer stands for the 2 that end there" in result.out
    last = found["layers"][1]["layer"]  # the window that LGA's ranking gives ends there
    golden = int(result.err.split("golden layer ")[1].split()[0])
    assert last in (golden, golden + 1)
    assert set(found["settings"]["covariance"]) == {"0", str(last - 1), str(last)}


def test_json_of_a_model(evaluate, tmp_path):
    result = evaluate("--json", "--no-fluency", "--no-generate")
    summary = json.loads(result.out, parse_constant=pytest.fail)
    assert summary == read(tmp_path / "out" / "evaluation.json")["summary"]
    assert summary["scores"]["generated_rewrite"]["after"] is None
    assert "rewrite" in result.err


def test_facts_without_probes_and_too_long_ones(evaluate, write_facts, tmp_path):
    long = replace(tiny.FACTS[1], id="long", prompt="so " * 150 + tiny.FACTS[1].prompt)
    evaluate(facts=write_facts([tiny.FACTS[0], long], "bare.jsonl"))
    found = read(tmp_path / "out" / "evaluation.json")
    assert found["summary"]["scores"]["rewrite"]["facts"] == 1
    assert found["summary"]["scores"]["locality"]["after"] is None
    assert {s["fact"] for s in found["skipped"]} == {"long"}


def test_bad_records_set_aside_are_counted(evaluate, write_facts, refuse):
    bad = write_facts([FACTS[0], "{"], "bad.jsonl")
    assert refuse(facts=bad).startswith(f"{bad}:2: ")
    assert "bad records set aside: 1" in evaluate("--skip-bad", "--no-fluency", facts=bad).out


WRONG = {
    ("--layers", "1-x"): "'1-x' is not a layer or a range; expected 5-20, 3,5,8 or 0-9,15",
    ("--layers", ""): "is not a layer or a range",
    ("--layers", "auto,,1"): "is not a layer or a range",
    ("--layers", "automatic"): "'automatic' is not a layer or a range",
    ("--layers", "1", "--edit", "x"): "--edit scores an edit that exists, --layers makes new",
    ("--sequential",): "--sequential needs --layers, such as 8, 4-8 or auto",
    ("--layers", "auto,2", "--sequential"): "--sequential takes auto, or the layers of one window",
    ("--layers", "1", "--sequential", "--batch", "0"): "--batch 0: expected 1 or more",
    ("--layers", "1", "--sequential", "--text", "/none"): "text '/none': No such file",
    ("--layers", "1", "--batch", "5"): "--batch has no effect without --sequential",
    ("--layers", "1", "--resume"): "--resume has no effect without --sequential",
    ("--layers", "1", "--sequential", "--every", "0"): "--every 0: expected 1 or more",
    ("--layers", "1", "--sequential", "--editor", ","): "--editor ',': expected one; several need",
    ("--layers", "1", "--editor", "rome,r-rome"): "expected one; several need --sequential",
    ("--layers", "1", "--editor", "mend"): "editor 'mend' is unknown",
    ("--layers", "1", "--every", "5"): "--every has no effect without --sequential",
    ("--every", "5"): "--every has no effect without --layers",
    ("--lr", "0.1"): "--lr has no effect without --layers",
    ("--kl-factor", "0.1"): "--kl-factor has no effect without --layers",
    ("--editor", "rome"): "--editor has no effect without --layers",
    ("--layers", "1", "--lr", "nan"): "lr nan: expected a number above 0",
    ("--layers", "1", "--templates", "x"): "--templates 'x': expected one of",
    ("--layers", "1", "--covariance", "/none"): "covariance '/none': no such file",
    ("--seed", "-1"): "--seed -1: expected 0 or more",
    ("--limit", "0"): "limit 0: expected 1 or more",
    ("--split", "train"): "split 'train' is unknown",
    ("--split", "test"): "none of the 3 facts is in split 'test'",
}


@pytest.mark.parametrize("options", WRONG, ids=" ".join)
def test_wrong_settings_are_refused_before_the_model_loads(refuse, options):
    assert WRONG[options] in refuse(*options, model="/no/such/model")


def test_layers_and_facts_that_the_model_does_not_have(refuse, write_facts):
    message = refuse("--layers", "1,2", "--sequential")
    assert message.startswith("r-rome edits one layer, 2 were given; choose one layer, or an")
    message = refuse("--layers", "1,9")
    assert message == "layers '9': layer 9 does not exist; the model has layers 0 to 3"
    long = replace(FACTS[0], id="long", prompt="so " * 150 + FACTS[0].prompt)
    facts = write_facts([*FACTS[1:], long], "long.jsonl")
    for more in ([], ["--sequential"]):
        message = refuse("--layers", "1", *more, *QUICK, facts=facts)
        assert message.startswith("fact 'long': ")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("evaluation.json", []),
        ("layers.json", ["--layers", "1"]),
        ("sequence.json", ["--layers", "1", "--sequential"]),
    ],
)
def test_places_that_are_taken(cli, facts, tmp_path, name, options):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("{}")
    given = ("--model", "/no/such/model", "--facts", facts, "--out", tmp_path / "mine")
    assert "golden-layers did not write it" in cli("evaluate", *given, *options).message
    assert (tmp_path / "mine" / name).read_text() == "{}"


@pytest.mark.parametrize("options", [[], ["--layers", "1"], ["--layers", "1", "--sequential"]])
def test_stopped_nothing_is_written(cli, llama, facts, tmp_path, monkeypatch, options):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    # at the last moment: some of the files lie ready
    monkeypatch.setattr("goldenlayers.metrics.evaluation_files._json", stop)
    monkeypatch.setattr("goldenlayers.study.sequence_files.write_csv", stop)
    more = QUICK if options else ["--no-fluency"]
    out = tmp_path / "out"
    result = cli("evaluate", "--model", llama, "--facts", facts, "--out", out, *options, *more)
    assert (result.status, result.out) == (130, "")
    assert result.err.strip().splitlines()[-1] == "stopped, no result was written"
    if "--sequential" in options:  # its edits took time, and are kept
        assert names(out) == ["unfinished"]
        shutil.rmtree(out)
    assert names(tmp_path) == [facts.name]


def test_help(cli):
    result = cli("evaluate", "--help")
    assert result.status == 0
    options = "model facts split limit skip-bad edit layers sequential every site editor templates"
    options += " covariance lr steps seed generate fluency device dtype out json"
    assert [o for o in options.split() if f"--{o}" not in result.out] == []
    assert "Try:" in result.out
