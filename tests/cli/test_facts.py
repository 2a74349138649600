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
from tests.facts.letters import as_list
from tests.facts.records import EXAMPLES

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


@pytest.fixture
def published(tmp_path):
    """A list as it is published, with a bad record and two that say one thing; and its records."""
    record = EXAMPLES["zsre"][0]
    records = [
        record | {"subject": f"Bruno {i}", "prompt": f"Which employer did Bruno {i} have?"}
        for i in range(40)
    ]
    records[3] |= {"ground_truth": []}
    records[5] = records[4] | {"portability": {"Hop": [{"prompt": "x", "ground_truth": []}]}}
    records[6] = records[4] | {"target_new": "another"}
    path = tmp_path / "zsre.json"
    path.write_bytes(as_list(records))
    return path


def told(cli, *options):
    result = cli("facts", *options, "--json")
    assert result.status == 0, result.err
    return json.loads(result.out)


def said(facts):
    return {(f.subject, f.prompt, f.target_new) for f in facts}


def test_a_published_file_as_it_is(cli, published):
    out = cli("facts", published).out
    shown = rows(out)
    assert shown["format"] == "zsre (ZsRE of KnowEdit)"
    assert shown["facts"] == "39 about 37 subjects"
    assert shown["fields not read"] == "40 cond"  # of all records, those set aside too
    assert shown["left out"] == "1 parts of records"
    assert shown["set aside"] == "1 records"
    assert "1 say what an earlier one says, 1 give its prompt another" in shown["duplicates"]
    lines = out.splitlines()
    assert "  said before zsre-5, zsre-6" in lines
    assert "  left out zsre-5: 'portability.Hop[0]' has no answer and is left out" in lines
    why = "field 'ground_truth' is an empty answer list; expected an answer"
    (aside,) = [line for line in lines if line.startswith("  set aside")]
    assert re.fullmatch(rf"  set aside line \d+, record 3: {why}", aside)
    assert cli("facts", published, "--strict").message.startswith(f"{published}:")


def test_format(cli, published):
    summary = told(cli, published, "--format", "wiki-recent")
    assert (summary["format"], summary["format_title"]) == ("wiki-recent", "WikiRecent of KnowEdit")
    assert (summary["facts"], summary["bad_records"]) == (40, [])
    assert cli("facts", published, "--format", "x").message.startswith("format 'x' is unknown; ")
    found = cli("facts", "bundled", "--format", "zsre", "--sample", "1").message
    assert found == "--format is for facts files; the bundled facts have their own"


def test_halves_and_samples_are_those_of_the_set(cli, published, tmp_path):
    facts = read_facts(published)
    for options, expected in [
        (("--half", "a"), facts.half("a")),
        (("--half", "B"), facts.half("b")),
        (("--sample", 7), facts.sample(7)),
        (("--sample", 7, "--seed", 3), facts.sample(7, 3)),
        (("--half", "a", "--sample", 7), facts.half("a").sample(7)),
        (("--sample", 9, "--split", "proxy=3"), facts.sample(9).marked(3)),
        (("--split", "proxy=0.5", "--seed", 2), facts.marked(0.5, 2)),
    ]:
        out = tmp_path / "out.jsonl"
        out.unlink(missing_ok=True)
        summary = told(cli, published, *options, "--convert", out)
        assert read_facts(out).facts == expected.facts
        assert (summary["facts"], summary["selection"]) == (len(expected), [*expected.selection])
        assert len(summary["bad_records"]) == 1


def test_convert(cli, published, tmp_path):
    out = tmp_path / "own.jsonl"
    result = cli("facts", published, "--convert", out)
    assert result.status == 0
    assert result.out.splitlines()[-1] == f"written {out}: 39 facts"
    assert read_facts(out).facts == read_facts(published).facts
    again = cli("facts", published, "--convert", out)
    assert again.message == f"{out}: there is a file already; delete it, or name another"
    found = cli("facts", published, "--convert", tmp_path / "x.csv").message
    assert found.startswith(f"{tmp_path / 'x.csv'}: the name ends in '.csv'; expected .jsonl or")
    cli("facts", published, "--strict", "--convert", tmp_path / "strict.jsonl")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == [
        "own.jsonl",
        published.name,
    ]


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


def test_tokens_of_a_model(cli, gpt2, write_facts, tmp_path):
    long = replace(tiny.FACTS[0], id="long", prompt=tiny.FACTS[0].prompt + " very" * 300)
    path, out = write_facts([long, *tiny.FACTS]), tmp_path / "out.jsonl"
    summary = told(cli, path, "--model", gpt2, "--convert", out)
    assert read_facts(out).facts == tuple(tiny.FACTS)
    tokenizer = tiny.tokenizer("gpt2")
    counts = [len(tokenizer(f.prompt)["input_ids"]) for f in tiny.FACTS]
    assert summary["tokens"]["model"] == str(gpt2)
    assert summary["tokens"]["prompt"]["facts"] == summary["facts"] == 7
    assert summary["tokens"]["prompt"]["least"] == min(counts)
    assert summary["tokens"]["prompt"]["most"] == max(counts)
    (bad,) = summary["bad_records"]
    assert (bad["line"], bad["record"]) == (1, 0)
    assert re.fullmatch(r"fact long: \d+ tokens long, the model's context is \d+", bad["reason"])
    table = cli("facts", path, "--model", gpt2).out.splitlines()
    assert any(
        re.match(rf"prompt +7 +{min(counts)} +\d+ +\d+ +{max(counts)} ", line) for line in table
    )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--half", "c"], "half 'c' is unknown; expected a or b"),
        (["--sample", "0"], "sample 0: expected 1 or more"),
        (["--split", "proxy"], "--split 'proxy': expected proxy=0.1, or proxy= and a number"),
        (
            ["--split", "proxy=x"],
            "--split 'proxy=x': expected proxy=0.1 for a tenth of the facts, ",
        ),
        (["--split", "proxy=0"], "proxy=0: expected a share between 0 and 1, or a number of facts"),
        (["--sample", "40"], "PATH: a sample of 40 facts was asked for and there are 39; ask for"),
        (["--sample", "9", "--seed", "-1"], "seed -1: expected 0 or more"),
        (["--convert", "none/x.jsonl"], "none/x.jsonl: there is no folder none; make it first"),
    ],
)
def test_refusals(cli, published, options, why):
    found = cli("facts", published, *options).message
    assert found.startswith(why.replace("PATH", str(published)))


def test_no_fact_that_is_left_is_an_error_after_all_is_listed(cli, tmp_path):
    path = tmp_path / "facts.json"
    path.write_text(
        json.dumps([{"subject": "A", "prompt": "B", "target_new": "C", "locality": {}}])
    )
    found = cli("facts", path)
    assert found.status == 2
    assert "set aside line 1, record 0: the subject 'A' is not in the prompt 'B'" in found.out
    assert f"error: {path}: no facts in it; all 1 records are set aside" in found.err
    found = cli("facts", path, "--json")
    assert found.status == 2
    assert json.loads(found.out)["facts"] == 0
