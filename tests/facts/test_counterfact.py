"""What CounterFact and its flat form have that the other formats have not."""

from __future__ import annotations

import copy
import json

import pytest

from goldenlayers.facts import LocalityProbe, read_facts
from tests.facts.records import COUNTERFACT, COUNTERFACT_FLAT, KNOWN_FACTS, ZSRE_MEND


@pytest.fixture
def write(tmp_path):
    def write(*records):
        path = tmp_path / "facts.json"
        path.write_text(json.dumps(records), encoding="utf-8")
        return path

    return write


def rewrite(**fields):
    record = copy.deepcopy(COUNTERFACT)
    record["requested_rewrite"] |= fields
    return record


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"prompt": "no place"}, ".prompt' is 'no place'; expected '{}' where the subject belongs"),
        ({"prompt": None}, ".prompt' is null; expected text"),
        ({"subject": ""}, ".subject' is empty; expected text"),
        ({"subject": 5}, ".subject' is a number; expected text"),
        ({"target_new": None}, ".target_new.str' is null; expected text"),
        ({"target_new": {}}, ".target_new.str' is null; expected text"),
        ({"target_true": {"str": ["a"]}}, ".target_true.str' is a list; expected text"),
        ({"target_true": {"str": " "}}, ".target_true.str' is empty; expected text"),
    ],
)
def test_request_that_cannot_be_used(write, fields, why):
    good = COUNTERFACT | {"case_id": "good"}
    read = read_facts(write(rewrite(**fields), good))
    assert [b.reason for b in read.bad] == [f"field 'requested_rewrite{why}"]


def test_request_that_is_none(write):
    read = read_facts(write(COUNTERFACT | {"requested_rewrite": "x"}, COUNTERFACT))
    assert read.bad[0].reason == "field 'requested_rewrite' is text; expected an object"


def test_template_is_filled_and_answers_may_be_plain_texts(write):
    fact = read_facts(write(rewrite(prompt="{}, {}:", target_new="a", target_true="b")))[0]
    assert (fact.prompt, fact.target_new, fact.target_old) == ("Kap Öd, Kap Öd:", "a", "b")
    # a subject with the mark in it is put in once
    assert read_facts(write(rewrite(subject="{} x")))[0].prompt == "The language of {} x is"


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (COUNTERFACT, "paraphrase_prompts"),
        (COUNTERFACT, "neighborhood_prompts"),
        (COUNTERFACT_FLAT, "rephrase_prompt"),
        (COUNTERFACT_FLAT, "locality_prompt"),
        (ZSRE_MEND, "rephrase"),
        (ZSRE_MEND, "loc"),
    ],
)
def test_lists_of_prompts(write, record, field):
    good = record | ({"case_id": "good"} if "case_id" in record else {})
    for value, why in [
        (["a", " "], "[1]' is empty; expected text"),
        (["a", ["b"]], "[1]' is a list; expected text"),
        ({}, "' is an object; expected text"),
        (3, "' is a number; expected text"),
    ]:
        read = read_facts(write(record | {field: value}, good))
        assert [b.reason for b in read.bad] == [f"field '{field}{why}"]
    for value in (None, []):
        fact = read_facts(write(record | {field: value}))[0]
        assert len(fact.rephrase_prompts) * len(fact.locality) == 0


@pytest.mark.parametrize(
    ("record", "prompts", "answers", "kind"),
    [
        (COUNTERFACT_FLAT, "locality_prompt", "locality_ground_truth", "neighborhood"),
        (ZSRE_MEND, "loc", "loc_ans", "loc"),
    ],
)
def test_neighbours_share_their_answers(write, record, prompts, answers, kind):
    fact = read_facts(write(record | {prompts: ["p", "q"], answers: [["a", "b"], []]}))[0]
    expected = tuple(LocalityProbe(text, "a", ("b",)) for text in ("p", "q"))
    assert fact.locality == {kind: expected}
    fact = read_facts(write(record | {answers: []}))[0]
    assert [p.answer for p in fact.locality[kind]] == [None]


@pytest.mark.parametrize(("record", "field"), [(COUNTERFACT, "case_id"), (KNOWN_FACTS, "known_id")])
def test_identifiers(write, record, field):
    read = read_facts(write(*({**record, field: value} for value in (0, "a", -5, 0, "0"))))
    assert [f.id for f in read] == ["0", "a", "-5"]
    assert [b.reason for b in read.bad] == ["field 'id': '0' was used before, in line 1"] * 2
    for value, what in [(None, "null"), (True, "a truth value"), (1.5, "a number"), ([], "a list")]:
        read = read_facts(write({**record, field: value}, record))
        assert read.bad[0].reason == f"field '{field}' is {what}; expected a number or text"
