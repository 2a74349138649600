"""`golden-layers find`: what it prints, what it writes, and what each option changes."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from goldenlayers import LayerRanking
from goldenlayers.facts import read_facts
from goldenlayers.models.sites import find_sites
from goldenlayers.models.text import encode_pairs
from tests import reference, tiny
from tests.facts.letters import as_list
from tests.facts.records import EXAMPLES

LAYER = ["layer", "score", "rank", "inside_fences", "side", "reached"]
LAYER += ["mean_cosine", "old_norm", "new_norm", "stability", "more"]
MODEL = [
    "name",
    "title",
    "architecture",
    "revision",
    "files",
    "dtype",
    "device",
    "parameters",
    "quantized",
]
FILES = ["fact_scores.csv", "ranking.json", "scores.png"]


@pytest.fixture
def find(cli, llama, facts_file, tmp_path):
    """Run `find` by LGA on the tiny model; return what was printed and ranking.json."""

    def find(*options, out="out", model=llama, facts=facts_file):
        folder = tmp_path / out
        options = ("--method", "lga", *options)
        result = cli("find", "--model", model, "--facts", facts, "--out", folder, *options)
        assert result.status == 0, result.err
        return result, json.loads((folder / "ranking.json").read_text(encoding="utf-8"))

    return find


def column(ranking, name):
    return [layer[name] for layer in ranking["layers"]]


@functools.cache
def expected_products(name, scope):
    """Reference products (3, L, N) of a tiny model in float64, by explicit gradients."""
    model = tiny.model(name)
    layers = [list(s.mlp) if scope == "mlp" else [s.name] for s in find_sites(model)]
    pairs = [[(f.prompt, a) for a in (f.target_old, f.target_new)] for f in tiny.FACTS]
    rows = [encode_pairs(tiny.tokenizer(name), pair) for pair in pairs]
    return torch.stack([reference.inner_products(model, *r, layers) for r in rows], 2).numpy()


def test_table_and_golden_layer(find, gpt2, tmp_path):
    result, ranking = find(model=gpt2)
    lines = result.out.splitlines()
    columns = r"layer +score +fences +cosine +\|g old\| +\|g new\| +stability *"
    assert re.fullmatch(columns, lines[0])
    rows = [line for line in lines if re.match(r" +\d ", line)]
    assert [int(row.split()[0]) for row in rows] == [0, 1, 2, 3]
    assert [i for i, row in enumerate(rows) if "★ golden" in row] == [ranking["golden"]]
    assert column(ranking, "side") == ["above", None, None, None]
    assert [i for i, row in enumerate(rows) if " above " in row] == [0]
    assert "  Outside the fences, so not chosen: layers 0." in lines
    for row, layer in zip(rows, ranking["layers"], strict=True):
        assert f" {layer['score']:.2f} " in row
        assert f" {layer['mean_cosine']:+.3f} " in row
    order = ranking["order"]
    runners_up = ", ".join(map(str, order[1:]))
    assert f"★ golden layer: {order[0]}   runners-up: {runners_up}" in lines
    assert "facts  7 used of 7, 0 skipped; old answers: 7 from the records; source: " in result.out
    assert all(str(tmp_path / "out" / name) in result.out for name in FILES)
    assert result.err.strip() == ""


@pytest.mark.parametrize("scope", ["site", "mlp"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_scores_are_those_of_explicit_gradients(find, request, name, scope):
    folder = request.getfixturevalue(name)
    _, ranking = find("--scope", scope, "--dtype", "float64", model=folder)
    dots = expected_products(name, scope)
    assert ranking["model"]["dtype"] == "float64"
    # the folder holds float32 weights, the reference was drawn in float32 and widened, too
    assert column(ranking, "score") == pytest.approx(dots[1].sum(1), rel=1e-5)
    assert column(ranking, "old_norm") == pytest.approx(np.sqrt(dots[0]).mean(1), rel=1e-5)
    assert column(ranking, "new_norm") == pytest.approx(np.sqrt(dots[2]).mean(1), rel=1e-5)
    cosine = (dots[1] / np.sqrt(dots[0] * dots[2])).mean(1)
    assert column(ranking, "mean_cosine") == pytest.approx(cosine, rel=1e-5)


def test_ranking_json_says_what_was_done_with_what(find, llama, facts_file):
    _, ranking = find("--seed", "5")
    assert all(list(layer) == LAYER for layer in ranking["layers"])
    assert ranking["method"] == "lga"
    assert ranking["golden"] == ranking["order"][0]
    assert ranking["seed"] == ranking["settings"]["seed"] == 5
    assert ranking["settings"] == {
        "old_answer": "record",
        "scope": "site",
        "fence": 1.0,
        "quartiles": "linear",
        "confidence": None,
        "resamples": 1000,
        "batch_tokens": None,  # the default of the device
        "seed": 5,
        "split": "auto",
        "limit": None,
        "layers": [0, 1, 2, 3],
        "site": None,
        "sites": [f"model.layers.{i}.mlp.down_proj" for i in range(4)],
    }
    assert list(ranking["model"]) == MODEL
    for name in ("model.safetensors", "config.json"):
        digest = hashlib.sha256((llama / name).read_bytes()).hexdigest()
        assert ranking["model"]["files"][name] == digest
    assert ranking["model"]["name"] == str(llama)
    assert ranking["facts"]["source"] == str(facts_file)
    assert ranking["facts"]["sha256"] == hashlib.sha256(facts_file.read_bytes()).hexdigest()
    assert {"golden-layers", "python", "torch", "transformers"} <= set(ranking["versions"])
    assert [a["id"] for a in ranking["answers"]] == [f.id for f in tiny.FACTS]


def test_files_belong_together(find, tmp_path):
    _, ranking = find()
    find()  # a second run replaces the files of the first
    folder = tmp_path / "out"
    assert sorted(p.name for p in folder.iterdir()) == FILES
    assert (folder / "scores.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    rows = list(csv.DictReader((folder / "fact_scores.csv").open(encoding="utf-8")))
    assert list(rows[0]) == ["fact", "layer", "score", "cosine", "old_norm", "new_norm"]
    assert [(r["fact"], r["layer"]) for r in rows] == [
        (f.id, str(layer)) for f in tiny.FACTS for layer in range(4)
    ]
    for layer in ranking["layers"]:
        own = [float(r["score"]) for r in rows if int(r["layer"]) == layer["layer"]]
        assert sum(own) == pytest.approx(layer["score"], rel=1e-12)


def test_load_gives_back_the_same_numbers(find, write_facts, tmp_path):
    odd = [replace(f, id=f'{f.id},"x"\r\n[b]=1 ö') for f in tiny.FACTS]  # hard on a CSV
    _, ranking = find("--old-answer", "model", facts=write_facts(odd))
    loaded = LayerRanking.load(tmp_path / "out")
    assert json.loads(json.dumps(loaded.to_dict())) == ranking
    assert loaded.fact_scores["score"].sum(0) == pytest.approx(column(ranking, "score"), rel=1e-12)
    loaded.save(tmp_path / "again")
    for name in ("ranking.json", "fact_scores.csv"):
        again = (tmp_path / "again" / name).read_bytes()
        assert again == (tmp_path / "out" / name).read_bytes()


def test_json_is_all_that_standard_output_gets(find):
    result, ranking = find("--json")
    assert json.loads(result.out) == ranking
    assert f"★ golden layer: {ranking['golden']}" in result.err


def test_output_that_knows_only_ascii(find, monkeypatch):
    # such as a Windows console or a file there; the stars may suffer, the run must not
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    _, ranking = find()
    stream.flush()
    assert f"golden layer: {ranking['golden']}".encode() in stream.buffer.getvalue()


def test_same_seed_same_files_but_for_the_time(find, gpt2, tmp_path):
    seeds = {"a": 1, "b": 1, "c": 2}
    options = ("--old-answer", "model", "--seed")  # here the winner is far from certain
    rankings = [find(*options, seeds[out], out=out, model=gpt2)[1] for out in seeds]
    for ranking in rankings:
        assert set(ranking.pop("seconds")) == {"find", "load"}
    assert rankings[0] == rankings[1]
    tables = [(tmp_path / out / "fact_scores.csv").read_bytes() for out in "abc"]
    assert tables[0] == tables[1] == tables[2]  # the seed is that of the resampling
    assert column(rankings[2], "stability") != column(rankings[0], "stability")


def test_no_fences(find):
    _, fenced = find("--fence", "0")  # as narrow as can be: the box between the quartiles
    best = int(np.argmax(column(fenced, "score")))
    assert column(fenced, "side")[best] == "above"
    _, ranking = find("--fence", "none")
    assert (ranking["fences"], ranking["settings"]["fence"]) == (None, None)
    assert column(ranking, "inside_fences") == [True] * 4
    assert ranking["golden"] == best != fenced["golden"]


@pytest.mark.parametrize(("fence", "quartiles"), [("1.0", "hazen"), ("0.25", "linear")])
def test_fences(find, fence, quartiles):
    _, ranking = find("--fence", fence, "--quartiles", quartiles)
    q1, q3 = np.quantile(column(ranking, "score"), [0.25, 0.75], method=quartiles)
    reach = float(fence) * (q3 - q1)
    assert ranking["fences"] == pytest.approx([q1 - reach, q3 + reach])


def test_limit_takes_the_first_facts(find):
    _, ranking = find("--limit", "3", "--dtype", "float64")
    assert [a["id"] for a in ranking["answers"]] == ["1", "2", "3"]
    expected = expected_products("llama", "site")[1, :, :3].sum(1)
    assert column(ranking, "score") == pytest.approx(expected, rel=1e-5)


def test_layers(find):
    _, everything = find()
    _, ranking = find("--layers", "1-2")
    assert column(ranking, "layer") == [1, 2]
    assert column(ranking, "score") == pytest.approx(column(everything, "score")[1:3])
    assert set(ranking["order"]) <= {1, 2}


def test_site(find):
    _, ranking = find("--site", "model.layers.{}.self_attn.o_proj")
    assert ranking["settings"]["sites"][3] == "model.layers.3.self_attn.o_proj"


def test_old_answers_of_the_model(find, write_facts, llama):
    _, ranking = find("--old-answer", "model")
    rows = encode_pairs(tiny.tokenizer("llama"), [(f.prompt, f.target_new) for f in tiny.FACTS])
    for answer, row in zip(ranking["answers"], rows, strict=True):
        assert answer["old_source"] == "model"
        assert 1 <= len(answer["old_ids"]) <= len(row.answer)
    first = replace(tiny.FACTS[0], target_old=None)  # nothing on record: ask the model
    result, mixed = find(facts=write_facts([first, *tiny.FACTS[1:]]))
    assert mixed["answers"][0] == ranking["answers"][0]
    assert mixed["facts"]["old_answers"] == {"model": 1, "record": 6}
    assert "old answers: 6 from the records, 1 from the model" in result.out


def test_what_to_do_next_depends_on_the_old_answers(find, write_facts):
    records = [{**f.to_record(), "target_old": None} for f in tiny.FACTS]
    without = write_facts(
        [{k: v for k, v in r.items() if v is not None} for r in records], "w.jsonl"
    )
    on_record, _ = find()
    of_model, _ = find(facts=without, out="w")
    assert "next" in on_record.out
    assert "the same command with --old-answer model" in on_record.out
    # they are the model's own already
    assert "the same command with --scope mlp" in of_model.out


def test_confidence(find):
    result, ranking = find("--confidence", "0.5", "--limit", "1")  # one fact cannot be resampled
    assert column(ranking, "stability") == [None] * 4
    assert "confidence 0.5: not reached with all 1 facts" in result.out
    result, ranking = find("--confidence", "0.001", facts="bundled")
    assert ranking["facts"]["used"] + ranking["facts"]["skipped"] == 20  # the first look
    assert "confidence 0.001: reached with 20 facts" in result.out
    assert (ranking["facts"]["source"], list(ranking["facts"]["splits"])) == ("bundled", ["proxy"])


@pytest.mark.parametrize(("split", "used"), [("auto", "13"), ("test", "2"), ("all", "1234567")])
def test_split(find, write_facts, split, used):
    marks = {"1": "proxy", "2": "test", "3": "proxy"}
    facts = write_facts([replace(f, split=marks.get(f.id)) for f in tiny.FACTS])
    _, ranking = find("--split", split, facts=facts)
    assert "".join(a["id"] for a in ranking["answers"]) == used


def test_a_part_of_a_published_list(find, tmp_path):
    shape = EXAMPLES["counterfact-flat"][0]
    records = [
        shape | {"case_id": i, "subject": f"Lina {i}", "prompt": f"Lina {i}, who plays"}
        for i in range(30)
    ]
    path = tmp_path / "flat.json"
    path.write_bytes(as_list(records))
    _, ranking = find("--half", "a", "--sample", "6", "--split", "proxy=0.5", facts=path)
    facts = ranking["facts"]
    assert (facts["source"], facts["format"]) == (str(path), "counterfact-flat")
    assert facts["selection"] == ["half a", "sample of 6, seed 0", "proxy=0.5, seed 0"]
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    expected = read_facts(path).half("a").sample(6).marked(0.5).split("proxy")
    assert [a["id"] for a in ranking["answers"]] == [f.id for f in expected]
    assert facts["used"] == len(expected) == 3


def test_bad_records_and_skipped_facts_are_reported(find, write_facts):
    same = replace(tiny.FACTS[0], id="[red]8[/]", target_old="Bergstad ")
    facts = write_facts([tiny.FACTS[0], {"id": "x"}, same, *tiny.FACTS[1:]])
    result, ranking = find("--skip-bad", facts=facts)
    assert (ranking["facts"]["used"], ranking["facts"]["bad_records"]) == (7, 1)
    reason = "the old answer is the new answer, 'Bergstad'"
    assert ranking["skipped"] == [{"id": "[red]8[/]", "reason": reason}]
    assert "7 used of 8, 1 skipped, 1 bad record set aside" in result.out
    assert f"  [red]8[/]: {reason}" in result.out.splitlines()


def test_results_go_into_the_working_folder_if_no_other_is_named(
    cli, llama, facts_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = cli("find", "--model", llama, "--facts", facts_file, "--method", "lga")
    assert result.status == 0
    assert sorted(p.name for p in (tmp_path / "golden-layers-out").iterdir()) == FILES


def test_help(cli):
    result = cli("find", "--help")
    assert result.status == 0
    options = "model facts split limit skip-bad layers site method old-answer scope fence quartiles"
    options += " confidence seed batch-tokens device dtype revision trust-remote-code out json"
    assert [o for o in options.split() if f"--{o}" not in result.out] == []
