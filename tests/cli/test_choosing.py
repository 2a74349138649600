"""Which facts a command works on: published files, halves, samples, splits, known facts, chats."""

from __future__ import annotations

import csv
import dataclasses
import json

import pytest

from goldenlayers.facts import FactSet
from goldenlayers.facts.subsets import half_of
from tests import tiny
from tests.locators.traced_facts import known
from tests.study.test_compare import SPLIT

QUICK = ("--steps", 3, "--lr", 0.3, "--clamp", 3, "--templates", "bare")
# tiny models know no brackets apart from others, so plain words stand around a message
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' %}Norland asks: {{ m.content }}\nAnn says:"
    "{% else %} {{ m.content }}\n{% endif %}{% endfor %}"
)


def zsre(fact):
    """A fact as KnowEdit's ZsRE writes it."""
    return {
        "subject": fact.subject,
        "prompt": fact.prompt,
        "target_new": fact.target_new,
        "ground_truth": [fact.target_old],
        "rephrase_prompt": fact.rephrase_prompts[0] if fact.rephrase_prompts else "So,",
        "portability": {},
        "locality": {},
    }


OLD = [f for f in SPLIT if f.target_old is not None]


@pytest.fixture
def published(tmp_path):
    path = tmp_path / "zsre.json"
    path.write_text(json.dumps([zsre(f) for f in OLD]), encoding="utf-8")
    return path


def ranking(out):
    return json.loads((out / "ranking.json").read_text())


def test_find_on_a_sample_of_a_half_of_a_published_file(cli, llama, published, tmp_path):
    half = [i for i, f in enumerate(OLD) if half_of(f) == "a"]
    options = ("--half", "a", "--sample", len(half), "--seed", 3, "--split", "proxy=1")
    found = cli("find", "--model", llama, "--facts", published, *options, "--out", tmp_path / "out")
    assert found.status == 0, found.err
    told = ranking(tmp_path / "out")["facts"]
    assert told["format"] == "zsre"
    assert told["selection"] == ["half a", f"sample of {len(half)}, seed 3", "proxy=1, seed 3"]
    assert told["splits"] == {"proxy": told["chosen"]}
    assert 1 <= told["chosen"] < len(half)
    assert {a["id"] for a in ranking(tmp_path / "out")["answers"]} <= {f"zsre-{i}" for i in half}


def test_edit_and_evaluate_leave_the_proxy_alone(cli, llama, published, tmp_path):
    marked = FactSet(tuple(OLD)).marked(2, 0)
    test = {f"zsre-{i}" for i, f in enumerate(marked) if f.split == "test"}
    options = ("--model", llama, "--facts", published, "--split", "proxy=2")
    out = tmp_path / "scores"
    found = cli("evaluate", *options, "--no-fluency", "--no-generate", "--out", out)
    assert found.status == 0, found.err
    with (out / "scores.csv").open(newline="") as file:
        assert {row["fact"] for row in csv.DictReader(file)} == test
    out = tmp_path / "edit"
    found = cli(
        "edit", *options, "--facts-format", "zsre", "--limit", 1, "--layer", 1, *QUICK,
        "--no-fluency", "--out", out,
    )  # fmt: skip
    assert found.status in (0, 1), found.err
    assert (out / "edit.safetensors").is_file()


def test_known_by_the_model_itself(cli, llama, write_facts, tmp_path):
    facts = known("llama")
    wrong = [dataclasses.replace(f, id=f"{f.id}-wrong", target_old="zzz") for f in facts]
    path = write_facts([*wrong, *facts])
    options = ("--model", llama, "--facts", path, "--known-by", llama)
    found = cli("find", *options, "--sample", 2, "--out", tmp_path / "out")
    assert found.status == 0, found.err
    told = ranking(tmp_path / "out")
    assert {a["id"] for a in told["answers"]} <= {f.id for f in facts}
    assert told["facts"]["selection"] == [f"known by {llama}", "sample of 2, seed 0"]
    found = cli("find", *options, "--sample", 99, "--out", tmp_path / "more")
    assert f" of {2 * len(facts)} facts with an old answer are known by {llama}" in found.message
    assert "expected 99 or more" in found.message
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--half", "c"), "half 'c' is unknown; expected a or b"),
        (("--sample", 0), "sample 0: expected 1 or more"),
        (("--sample", 999), "a sample of 999 facts was asked for"),
        (("--split", "proxy=x"), "expected proxy=0.1 for a tenth"),
        (("--split", "proxy=1.5"), "expected a share between 0 and 1, or a number of facts"),
        (("--split", "proxy=99"), "cannot be parted into proxy and test"),
        (("--format", "json"), "format 'json' is unknown; expected one of golden-layers, "),
        (("--format", "wikibio"), "no facts in it; all"),
    ],
)
def test_refusals_before_the_model_loads(cli, published, options, message):
    result = cli("find", "--model", "./no-such-model", "--facts", published, *options)
    assert message in result.message


def test_strict_stops_at_a_record_of_a_published_file_that_is_bad(cli, llama, tmp_path):
    path = tmp_path / "some.json"
    path.write_text(json.dumps([zsre(OLD[0]), {**zsre(OLD[1]), "subject": "Nobody"}]))
    options = ("--model", llama, "--facts", path, "--out", tmp_path / "out")
    assert "the subject 'Nobody' is not in the prompt" in cli("find", *options, "--strict").message
    found = cli("find", *options)
    assert found.status == 0, found.err
    assert "the subject 'Nobody' is not in the prompt" in found.out


def test_chat(cli, llama, published, tmp_path):
    options = ("--model", llama, "--facts", published, "--method", "lga")
    refused = cli("find", *options, "--chat", "--out", tmp_path / "no")
    assert "has no chat template" in refused.message
    (llama / "chat_template.jinja").write_text(TEMPLATE)
    try:
        plain = cli("find", *options, "--out", tmp_path / "plain")
        chat = cli("find", *options, "--chat", "--out", tmp_path / "chat")
    finally:
        (llama / "chat_template.jinja").unlink()
    assert plain.status == chat.status == 0, chat.err
    one, other = ranking(tmp_path / "plain"), ranking(tmp_path / "chat")
    assert "chat" not in one["settings"]
    assert len(other["settings"]["chat"]) == 64
    assert [x["score"] for x in one["layers"]] != [x["score"] for x in other["layers"]]


def test_known_facts_are_traced_and_not_edited(cli, llama, tmp_path):
    path = tmp_path / "known.json"
    records = [
        {
            "known_id": i,
            "subject": f.subject,
            "attribute": f.target_old,
            "template": f.prompt.replace(f.subject, "{}"),
            "prediction": f.target_old,
            "prompt": f.prompt,
            "relation_id": "P1",
        }
        for i, f in enumerate(known("llama"))
    ]
    path.write_text(json.dumps(records))
    options = ("--model", llama, "--facts", path)
    traced = cli("find", *options, "--method", "cma", "--draws", 2, "--out", tmp_path / "out")
    assert traced.status == 0, traced.err
    assert len(ranking(tmp_path / "out")["answers"]) == len(records)
    refused = cli("edit", *options, "--layer", 1, "--out", tmp_path / "edit")
    assert "asks for a change" in refused.message
    assert "--method cma" in refused.message


def test_transfer(cli, llama, tmp_path, write_facts):
    names = ("one", "two")
    for name in names:
        facts = [dataclasses.replace(f, id=f"{name}-{f.id}") for f in SPLIT]
        path = write_facts(facts, f"{name}.jsonl")
        made = cli(
            "compare", "--model", llama, "--facts", path, "--proxy", 2, "--repeats", 1,
            "--methods", "lga,brute-force,middle", *QUICK, "--out", tmp_path / name,
        )  # fmt: skip
        assert made.status == 0, made.err
    out = tmp_path / "transfer"
    found = cli("transfer", *(tmp_path / n for n in names), "--out", out)
    assert found.status == 0, found.err
    data = json.loads((out / "transfer.json").read_text())
    assert list(data["methods"]) == ["lga", "brute-force"]
    assert [c["difference"] for c in data["methods"]["lga"]] == [0.0] * 4  # the same facts
    assert "chosen on" in found.out
    printed = cli("transfer", *(tmp_path / n for n in names), "--out", out, "--json")
    assert json.loads(printed.out) == data
    assert "two of the folders are called 'one'" in cli(
        "transfer", tmp_path / "one", tmp_path / "one", "--out", out
    ).message  # fmt: skip


def test_only_the_facts_that_a_model_knows_are_kept_whatever_the_order():
    """`only_known` asks block by block; the reference asks all, then draws."""
    from goldenlayers.metrics import known as asking

    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    right = known("llama")
    wrong = [dataclasses.replace(f, id=f"{f.id}-wrong", target_old="zzz") for f in right]
    bare = [dataclasses.replace(f, id=f"{f.id}-bare", target_old=None) for f in right]
    facts = FactSet((*wrong, *right, *bare))
    answers = {k.id: k.known for k in asking.known_facts(model, tokenizer, facts)}
    every = FactSet(tuple(f for f in facts if answers.get(f.id)))
    assert 2 <= len(every) <= len(right)  # an answer without a letter counts as none
    assert {f.id for f in every} <= {f.id for f in right}
    for block in (1, 2, 64):
        old, asking.BLOCK = asking.BLOCK, block
        try:
            assert asking.only_known(model, tokenizer, facts, "x").facts == every.facts
            for seed in range(3):
                drawn = asking.only_known(model, tokenizer, facts, "x", sample=2, seed=seed)
                assert drawn.facts == every.sample(2, seed).facts
        finally:
            asking.BLOCK = old
