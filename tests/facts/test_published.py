"""Samples of the real files, in ../shared/data if it is there: every record is accounted for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from goldenlayers.facts import read_facts
from goldenlayers.facts.convert import write_facts
from goldenlayers.facts.summary import FactsSummary
from tests.facts.letters import strangers

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the samples of the published files are not in {DATA}"
)
# By file: format; records; those set aside, by number; probes by kind; facts with an old answer;
# rephrasings; subjects; facts that say an earlier one again, and otherwise; equal answers.
FILES = {
    "zsre/ZsRE-test-all.first400.json": (
        "zsre",
        400,
        {
            396: "the subject {subject!r} is not in the prompt {prompt!r}, and an edit needs to "
            "know where it stands"
        },
        {"Relation_Specificity": 798},
        {"Logical_Generalization": 85, "Reasoning": 228, "Subject_Aliasing": 86},
        (399, 399, 369, 0, 1, 18),
        {"cond"},
    ),
    "zsre/zsre_mend.first400.json": (
        "zsre-mend",
        400,
        {},
        {"loc": 400},
        {},
        (400, 400, 400, 0, 0, 7),
        {"pred", "cond"},
    ),
    "wikibio/wikibio-train-all.json": (
        "wikibio",
        464,
        {},
        {"Relation_Specificity": 928},
        {},
        (0, 0, 157, 0, 0, 0),
        set(),
    ),
    "wiki_counterfact/train_cf.json": (
        "wiki-counterfact",
        1428,
        {630: "field 'ground_truth': nothing is left of its answers but blanks"},
        {"Relation_Specificity": 1253, "Forgetfulness": 782},
        {"Subject_Aliasing": 1409, "Reasoning": 504, "Logical_Generalization": 304},
        (1427, 0, 1364, 11, 0, 6),
        set(),
    ),
    "wiki_recent/recent_train.first300.json": (
        "wiki-recent",
        300,
        {},
        {"Relation_Specificity": 900, "Forgetfulness": 164},
        {"Reasoning": 216, "Logical_Generalization": 102, "Subject_Aliasing": 25},
        (0, 0, 300, 0, 0, 0),
        set(),
    ),
    "counterfact/counterfact-val.json": (
        "counterfact-flat",
        1919,
        {},
        {"neighborhood": 1919},
        {},
        (1919, 1919, 1898, 0, 7, 0),
        set(),
    ),
    "counterfact/counterfact_full_records.first300.json": (
        "counterfact",
        300,
        {},
        {"neighborhood": 3000},
        {"New Question": 300},
        (300, 600, 300, 0, 0, 0),
        {"pararel_idx", "attribute_prompts", "generation_prompts"},
    ),
    "known_facts/known_1000.first400.json": (
        "known-facts",
        400,
        {},
        {},
        {},
        (400, 0, 398, 0, 0, 400),
        {"template", "prediction", "relation_id"},
    ),
}


def counted(kinds):
    return Counter(kind for fact in kinds for kind, probes in fact.items() for _ in probes)


def test_no_sample_is_forgotten():
    assert {str(p.relative_to(DATA)) for p in DATA.glob("*/*.json")} == set(FILES)


@pytest.fixture(params=FILES)
def sample(request):
    """Return the file's row above, its records as Python decodes them, and what we read."""
    path = DATA / request.param
    return FILES[request.param], json.loads(path.read_bytes()), read_facts(path)


def test_every_record_is_read_or_set_aside_by_name(sample):
    (name, count, aside, near, far, figures, unused), records, read = sample
    assert (read.format, len(records), len(read) + len(read.bad)) == (name, count, count)
    # the texts of the data are not ours to repeat here
    expected = {number: why.format(**records[number]) for number, why in aside.items()}
    assert {b.record: b.reason for b in read.bad} == expected
    assert read.notes == ()
    assert dict(read.unused) == dict.fromkeys(unused, count)
    assert counted(f.locality for f in read) == near
    assert counted(f.portability for f in read) == far
    summary = FactsSummary()
    for fact in read:
        summary.add(fact)
    told = summary.to_dict()
    names = ("with_old_answer", "rephrasings", "subjects", "duplicates", "conflicts")
    assert tuple(told[n] for n in (*names, "with_equal_answers")) == figures


def test_set_aside_records_are_at_their_lines(sample):
    _, records, read = sample
    lines = Path(read.source).read_bytes().decode("utf-8").split("\n")
    for bad in read.bad:
        # the record begins in that line and is the text from there on
        text = "\n".join(lines[bad.line - 1 :])
        value, _ = json.JSONDecoder().raw_decode(text, text.index("{"))
        assert value == records[bad.record]


def test_every_text_is_letter_for_letter_in_its_record(sample):
    (name, *_), records, read = sample
    numbers = [n for n in range(len(records)) if n not in {b.record for b in read.bad}]
    for number, fact in zip(numbers, read, strict=True):
        assert strangers(fact, records[number], name, number) == set(), number


def test_converted_and_read_back_it_is_the_same(sample, tmp_path):
    *_, read = sample
    assert write_facts(read, tmp_path / "own.jsonl") == len(read)
    again = read_facts(tmp_path / "own.jsonl")
    assert (again.format, again.facts, again.bad) == ("golden-layers", read.facts, ())
    for name in ("a", "b"):
        assert again.half(name).facts == read.half(name).facts
    assert again.sample(50, seed=3).facts == read.sample(50, seed=3).facts
