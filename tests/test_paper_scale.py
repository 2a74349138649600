"""The benchmark at the published sizes: the shapes, the rows, what is kept, what is said."""

from __future__ import annotations

import json
import sys

import pytest
import torch
import transformers as tf
from bench import paper_paths, paper_scale
from bench.device_agreement import agreement_of_devices
from bench.on_device import matrix_rate, peak
from bench.paper_shapes import ANSWER, SHAPES, build, facts_of
from bench.paper_targets import GROWING, LOOP, targets

from goldenlayers.models.sites import find_sites
from goldenlayers.models.subject import subject_rows
from goldenlayers.models.text import encode_pairs

CPU = torch.device("cpu")
# of the published checkpoints; Gemma's without its vision tower
PARAMETERS = {"gpt2-xl": 1_557_611_200, "llama2-7b": 6_738_415_616, "gemma3-12b": 11_766_034_176}
WIDTHS = {"gpt2-xl": (48, 6400), "llama2-7b": (32, 11008), "gemma3-12b": (48, 15360)}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_published_models_have_their_published_sizes(shape):
    config_of, architecture, _ = SHAPES[shape]
    with torch.device("meta"):
        model = getattr(tf, architecture)(config_of(1.0))
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[shape]
    sites = find_sites(model)
    assert (len(sites), sites[0].d_in) == WIDTHS[shape]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_small_ones_are_made_on_the_spot(shape, dtype):
    case = build(shape, 0.05, CPU, dtype)
    assert case.model.dtype == (dtype or torch.float32)
    assert torch.get_default_dtype() == torch.float32
    same = build(shape, 0.05, CPU, dtype)
    assert all(map(torch.equal, case.model.parameters(), same.model.parameters()))
    assert not case.model.training


@pytest.mark.parametrize("tokens", [10, 20, 80])
def test_rows_have_exactly_their_tokens(tokens):
    case = build("llama2-7b", 0.05, CPU, None)
    facts = facts_of(case, 5, tokens)
    assert facts == facts_of(case, 5, tokens)
    rows = encode_pairs(
        case.tokenizer, [(f.prompt, a) for f in facts for a in (f.target_old, f.target_new)]
    )
    assert {len(row.ids) for row in rows} == {tokens}
    assert {len(row.answer) for row in rows} == {ANSWER}
    assert all(0 not in row.ids for row in rows)  # no unknown word
    for fact in facts:
        (row,) = subject_rows(case.tokenizer, [""], fact.prompt, fact.subject, fact.target_new)
        assert abs(row.subject - (tokens - ANSWER) // 2) <= 1


def test_too_few_tokens_for_a_fact():
    with pytest.raises(SystemExit, match="6 tokens: expected 7 or more"):
        facts_of(build("gpt2-xl", 0.05, CPU, None), 1, 6)


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["paper_scale", "--scale", "0.05", *arguments])
    paper_scale.main()
    return capsys.readouterr().out


def test_a_run_is_kept_and_not_made_again(monkeypatch, capsys, tmp_path):
    short = ("--facts", "3", "--tokens", "10", "--rounds", "1", "--cma-facts", "1", "--steps", "2",
             "--sweep-facts", "1", "--loop-layers", "1", "--covariance-tokens", "256",
             "--check", "1", "--device", "cpu", "--json", str(tmp_path / "kept.json"))  # fmt: skip
    told = run(monkeypatch, capsys, *short)
    results = json.loads((tmp_path / "kept.json").read_text())["results"]
    assert [r["path"] for r in results] == [
        "LGA", "LGA's passes alone", "one forward and backward", "CMA", GROWING, LOOP,
        "second moments",
    ]  # fmt: skip
    by_path = {r["path"]: r for r in results}
    assert by_path["LGA"]["scaled"] == ""
    assert by_path["CMA"]["scaled"] == "SCALED from 1 facts"
    assert by_path[LOOP]["scaled"].startswith("SCALED from 1 edits of 1 fact")
    assert "golden same" in by_path["LGA"]["agrees"]
    assert "scores equal" in by_path[GROWING]["agrees"]
    assert all(r["operations"] > 0 and r["seconds"] > 0 for r in results)
    assert told.count("unmeasured") == 8
    for name in ("lga", "cma", "brute_force", "covariance"):
        monkeypatch.setattr(paper_paths, name, lambda *args: pytest.fail("measured again"))
    again = run(monkeypatch, capsys, *short)
    assert "SCALED from 1 facts" in again


def result(path, tokens, seconds, **more):
    return {"path": path, "tokens": tokens, "seconds": seconds, "of_facts": 100,
            "peak_bytes": 10e9, "more": more}  # fmt: skip


def test_goals_are_judged_by_the_worst_length():
    measured = {
        "gpt2-xl": [
            result("LGA", 20, 2.0, model_bytes=6e9),
            result("LGA", 80, 5.0, model_bytes=6e9),
            result("LGA's passes alone", 20, 1.5, over_floor=1.2),
            result("CMA", 20, 50.0),
            result("CMA", 80, 45.0),
            result(LOOP, 20, 900.0),
            result(GROWING, 20, 30.0),
        ],
        "gemma3-12b": [result("LGA", 20, 2.0, model_bytes=24e9)],
    }
    told = [line for _, line in targets(measured, "cuda")]
    assert told[0] == "met: 450 at 20 tokens"
    assert told[1] == "missed: 25 at 20 tokens, 9 at 80 tokens"
    assert told[2] == "met: 2.00 s"
    assert told[3] == "met: at most 1.20"
    assert told[4] == "met: 30 at 20 tokens"
    assert told[5:7] == ["unmeasured here", "unmeasured here"]
    assert told[7] == "met: 34.0 GB"
    assert {line for _, line in targets({}, "cpu")} == {"unmeasured: no GPU"}


def test_the_cpu_is_measured_too():
    assert matrix_rate(CPU, torch.float32) > 1e8
    with peak(CPU) as found:
        held = torch.ones(20_000_000)
    assert found.bytes > 0.5 * held.numel() * 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_devices_are_not_compared_without_a_gpu():
    assert agreement_of_devices(["gpt2-xl"]) == [
        "CPU and GPU agree: not looked at, there is no GPU here"
    ]
