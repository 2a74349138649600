"""`golden-layers facts`: what is in a facts file, and what a model knows of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
import torch

from goldenlayers.facts import Fact, LocalityProbe, PortabilityProbe, bundled_facts
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
    names = ("source", "sha256", "facts", "splits", "old answers", "rephrasings")
    names += ("locality probes", "portability probes", "set aside")
    lines = [line.rstrip() for line in out.splitlines()]
    return {n: next(x for x in lines if x.startswith(n))[len(n) :].strip() for n in names}


def test_counts(cli, write_facts):
    path = write_facts(PROBED)
    result = cli("facts", path)
    assert result.status == 0
    shown = rows(result.out)
    # whole also where the output is 80 columns wide, or they could not be copied
    assert shown.pop("sha256") == hashlib.sha256(path.read_bytes()).hexdigest()
    assert shown.pop("source") == str(path)
    assert shown == {
        "facts": "3",
        "splits": "1 proxy, 1 test, 1 none",
        "old answers": "2 facts have one",
        "rephrasings": "3",
        "locality probes": "2 near, 1 far",
        "portability probes": "1 hop",
        "set aside": "0",
    }


def test_json(cli, write_facts):
    path = write_facts(PROBED)
    result = cli("facts", path, "--json")
    assert result.status == 0
    assert json.loads(result.out) == {
        "source": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "facts": 3,
        "bad_records": [],
        "splits": {"proxy": 1, "test": 1, "none": 1},
        "with_old_answer": 2,
        "rephrasings": 3,
        "locality": {"near": 2, "far": 1},
        "portability": {"hop": 1},
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
    assert rows(result.out)["facts"] == rows(result.out)["set aside"] == "2"
    assert f"  line 2: {reason}" in result.out.splitlines()
    assert "  line 3: field '" in result.out
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
