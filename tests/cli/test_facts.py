"""`golden-layers facts`: what is in a facts file, and what a model knows of it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import pytest
import torch

from goldenlayers.facts import Fact, LocalityProbe, PortabilityProbe, bundled_facts, read_facts
from tests import tiny

PROBED = [
    Fact(
        "a",
        "Rome",
        "Rome lies in",
        "Asia",
        "Europe",
        rephrase_prompts=("Rome is in", "You find Rome in"),
        locality={"near": (LocalityProbe("x"), LocalityProbe("y")), "far": (LocalityProbe("z"),)},
        portability={"hop": (PortabilityProbe("x", ("y", "z")),)},
        split="proxy",
    ),
    Fact("b", "Rome", "The river of Rome is the", "Rhine", split="test"),
    Fact("c", "Rome", "The colour of Rome is", "red", "ochre", rephrase_prompts=("Rome is",)),
]


def rows(out):
    """Return the two columns of the table that `facts` prints."""
    names = ("source", "sha256", "format", "selection", "facts", "splits", "old answers")
    names += ("rephrasings", "locality probes", "portability probes", "duplicates")
    names += ("fields not read", "left out", "set aside")
    # a wide cell goes on in the next lines, whose first column is blank
    out = re.sub(r" *\n {10,}", " ", out)
    lines = [line.rstrip() for line in out.splitlines()]
    return {n: next(x for x in lines if x.startswith(n))[len(n) :].strip() for n in names}


def told(cli, *options):
    result = cli("facts", *options, "--json")
    assert result.status == 0, result.err
    return json.loads(result.out)


def test_counts(cli, write_facts):
    path = write_facts(PROBED)
    result = cli("facts", path)
    assert result.status == 0
    shown = rows(result.out)
    # whole also where the output is 80 columns wide, or they could not be copied
    assert shown.pop("sha256") == hashlib.sha256(path.read_bytes()).hexdigest()
    assert shown.pop("source") == str(path)
    assert shown == {
        "format": "golden-layers (golden-layers' own format)",
        "selection": "all",
        "facts": "3 about 1 subjects",
        "splits": "1 proxy, 1 test, 1 none",
        "old answers": "2 facts have one",
        "rephrasings": "3, of 2 facts",
        "locality probes": "2 near (1 fact, 2 without an answer), 1 far (1 fact, 1 without an "
        "answer)",
        "portability probes": "1 hop (1 fact)",
        "duplicates": "none",
        "fields not read": "none",
        "left out": "0 parts of records",
        "set aside": "0 records",
    }


def test_json(cli, write_facts):
    path = write_facts(PROBED)
    result = cli("facts", path, "--json")
    assert result.status == 0
    assert json.loads(result.out) == {
        "source": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "format": "golden-layers",
        "format_title": "golden-layers' own format",
        "selection": [],
        "unused_fields": {},
        "facts": 3,
        "subjects": 1,
        "splits": {"proxy": 1, "test": 1, "none": 1},
        "with_old_answer": 2,
        "with_equal_answers": 0,
        "with_aliases": 0,
        "with_rephrasings": 2,
        "rephrasings": 3,
        "locality": {
            "near": {"probes": 2, "facts": 1, "unanswered": 2},
            "far": {"probes": 1, "facts": 1, "unanswered": 1},
        },
        "portability": {"hop": {"probes": 1, "facts": 1, "unanswered": 0}},
        "duplicates": 0,
        "conflicts": 0,
        "duplicate_ids": [],
        "bad_records": [],
        "notes": [],
        "notes_in_all": 0,
    }


def test_bundled_facts_are_the_default(cli):
    summary = json.loads(cli("facts", "--json").out)
    assert summary["source"] == "bundled"
    assert summary["facts"] == sum(summary["splits"].values()) == len(bundled_facts())


def test_bad_records_are_an_error_or_set_aside(cli, write_facts):
    path = write_facts([PROBED[0], {"id": "[b]x[/b]"}, '{"\\ud800": 1}', PROBED[1]])
    reason = "field 'subject' is missing; required are id, subject, prompt, target_new"
    assert cli("facts", path).message.startswith(f"{path}:2: {reason} (--skip-bad ")
    result = cli("facts", path, "--skip-bad")
    assert result.status == 0
    shown = rows(result.out)
    assert (shown["facts"], shown["set aside"]) == ("2 about 1 subjects", "2 records")
    assert f"  set aside line 2, record 1: {reason}" in result.out.splitlines()
    assert "  set aside line 3, record 2: field '\\ud800' is unknown" in result.out
    summary = json.loads(cli("facts", path, "--skip-bad", "--json").out)
    assert [b["line"] for b in summary["bad_records"]] == [2, 3]
    assert summary["bad_records"][0]["reason"] == reason


# these are names of emoji to rich, which prints text
@pytest.mark.parametrize("line", [100, 1234])
def test_line_numbers_are_printed_as_numbers(cli, write_facts, line):
    good = [Fact(str(i), "A", "A is", "B") for i in range(1, line)]
    path = write_facts([*good, {}])
    assert cli("facts", path).message.startswith(f"{path}:{line}: field 'id' is missing")


@pytest.fixture(scope="module")
def tiny_answers():
    """What the tiny model writes after each prompt of the tiny facts, by transformers' own loop."""
    model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
    answers = []
    for fact in tiny.FACTS:
        ids = tokenizer(fact.prompt, return_tensors="pt")["input_ids"]
        new = model.generate(ids, do_sample=False, max_new_tokens=4, min_new_tokens=4)
        answers.append(tokenizer.decode(new[0, ids.shape[1] :], skip_special_tokens=True))
    return answers


def test_known_by(cli, llama, write_facts, tiny_answers):
    # a fact is known whose old answer is what the model writes; the first is of one letter at least
    usable = [i for i, a in enumerate(tiny_answers) if any(c.isalnum() for c in a)]
    right = usable[0]
    facts = [replace(f, target_old="Zzyzx") for f in tiny.FACTS]
    facts[right] = replace(facts[right], target_old=tiny_answers[right].strip())
    silent = Fact("none", "Rome", "Rome lies in", "Asia")  # no old answer: it is not asked
    path = write_facts([*facts, silent])
    result = cli("facts", path, "--known-by", llama, "--json")
    assert result.status == 0
    known = json.loads(result.out)["known_by"]
    assert (known["model"], known["asked"], known["known"]) == (str(llama), len(facts), 1)
    assert [k["id"] for k in known["facts"]] == [f.id for f in facts]
    assert [i for i, k in enumerate(known["facts"]) if k["known"]] == [right]
    assert known["facts"][right]["answer"].startswith(tiny_answers[right].strip())

    out = cli("facts", path, "--known-by", llama).out
    assert f"1 of {len(facts)} facts are known" in out.splitlines()
    assert out.count("not known ") == len(facts) - 1
    assert "expected 'Zzyzx', the model writes '" in out


def test_known_by_with_a_prompt_longer_than_the_context(cli, gpt2, write_facts):
    # learned positions end there; the other facts can be asked all the same
    long = replace(tiny.FACTS[0], id="long", prompt=tiny.FACTS[0].prompt + " very" * 300)
    result = cli("facts", write_facts([*tiny.FACTS, long]), "--known-by", gpt2)
    assert result.status == 0
    assert "facts are known" in result.out


def test_help_shows_the_format(cli):
    result = cli("facts", "--help")
    assert result.status == 0
    assert [o for o in ("--known-by", "--skip-bad", "--json") if o not in result.out] == []
    for name in ("subject", "prompt", "target_new", "rephrase_prompts", "locality", "portability"):
        assert name in result.out


def test_convert_the_known(cli, llama, write_facts, tiny_answers, tmp_path):
    # a whole first word: what the model writes behind the last one may go on
    words = {i: re.match(r"(\w+)\W", answer.strip()) for i, answer in enumerate(tiny_answers)}
    usable = [i for i, word in words.items() if word is not None][:2]
    facts = [replace(f, target_old="Zzyzx") for f in tiny.FACTS]
    for i in usable:
        facts[i] = replace(facts[i], target_old=words[i][1])
    path, out = write_facts(facts), tmp_path / "known.jsonl"
    summary = told(cli, path, "--known-by", llama, "--convert", out)
    assert read_facts(out).facts == tuple(facts[i] for i in usable)
    assert (summary["facts"], summary["selection"]) == (2, [f"known by {llama}"])
    summary = told(cli, path, "--known-by", llama, "--sample", 1)
    assert summary["selection"] == [f"known by {llama}", "sample of 1, seed 0"]
    found = cli("facts", path, "--known-by", llama, "--sample", 3).message
    assert found.startswith(f"{path}: 2 of 7 facts with an old answer are known by {llama}; ")
    found = cli("facts", path, "--known-by", llama, "--split", "proxy=1").message
    assert found == "--known-by with --split keeps facts: say where, by --convert"
