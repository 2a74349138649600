"""`golden-layers facts` on a published file: what is in it, halves, samples, conversion."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from goldenlayers.facts import read_facts
from tests import tiny
from tests.cli.test_facts import rows, told
from tests.facts.letters import as_list
from tests.facts.records import EXAMPLES


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
