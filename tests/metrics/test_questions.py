"""Which probes a fact has, in texts and in tokens, and which are left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from goldenlayers.facts import Fact, LocalityProbe, PortabilityProbe
from goldenlayers.metrics.probes import probes
from goldenlayers.metrics.questions import questions
from tests import tiny
from tests.metrics.samples import BARE, RICH, prompt_of, row_of


def test_probes_in_order():
    found = probes(RICH)
    assert [p.kind for p in found] == (
        ["rewrite"] + ["rephrase"] * 2 + ["locality"] * 4 + ["portability"] * 3
    )
    assert found[0].answers == ("Old Harbour Town", "Harbour Town", "old harbor")
    assert found[1].answers == found[0].answers
    assert [p.subtype for p in found[3:]] == (
        ["same_relation"] * 2 + ["unrelated"] * 2 + ["alias"] + ["reasoning"] * 2
    )
    assert found[5].answers == ()
    assert [p.kind for p in probes(BARE)] == ["rewrite"]


@pytest.mark.parametrize("name", tiny.TOKENIZERS)
def test_tokens(name):
    tokenizer = tiny.TOKENIZERS[name]()
    asked, skipped = questions(tokenizer, RICH, None)
    assert skipped == []
    assert [q.probe for q in asked] == probes(RICH)
    for q in asked:
        assert q.prompt == prompt_of(tokenizer, q.probe.prompt)
        if q.probe.answers:
            rows = [row_of(tokenizer, q.probe.prompt, a) for a in q.probe.answers]
            assert q.row == rows[0]
            assert q.tokens == max(len(r.answer) for r in rows) + 3
        else:
            assert q.row is None
            assert q.tokens == 5
    rivals = {i: q.rival_text for i, q in enumerate(asked) if q.rival is not None}
    # the second neighbour's answer is the new answer itself: nothing to compare
    assert rivals == {0: "Vell", 1: "Vell", 2: "Vell", 3: "Old Harbour Town"}
    for i, text in rivals.items():
        assert asked[i].rival == row_of(tokenizer, asked[i].probe.prompt, text)


@pytest.mark.parametrize(
    "kind", ["neighbourhood", "neighborhood", "same_relation", "Neighborhood", "unrelated"]
)
def test_kinds_of_neighbours(kind):
    fact = replace(BARE, locality={kind: (LocalityProbe("The capital of Vell is", "k"),)})
    asked, _ = questions(tiny.byte_level_bpe(), fact, None)
    assert (asked[1].rival is None) is (kind == "unrelated")
    assert asked[0].rival is None  # the fact has no old answer


def test_old_answer_equal_to_the_new_one_is_no_rival():
    fact = replace(BARE, target_old=f" {BARE.target_new} ")
    assert questions(tiny.byte_level_bpe(), fact, None)[0][0].rival is None


def test_unusable_probes_are_left_out_and_named():
    fact = replace(
        BARE,
        rephrase_prompts=(" ", "Norland's capital is"),
        portability={"x": (PortabilityProbe("A", ()), PortabilityProbe("B", (" ", "k")))},
        locality={"y": (LocalityProbe("C", " "),)},
    )
    asked, skipped = questions(tiny.byte_level_bpe(), fact, None)
    assert [q.probe.prompt for q in asked] == [BARE.prompt, "Norland's capital is", "C", "B"]
    assert asked[2].row is None  # a blank answer is none
    assert asked[3].probe.answers == ("k",)
    assert [(s.fact, s.kind, s.subtype, s.reason) for s in skipped] == [
        ("1", "rephrase", "", "the prompt is blank"),
        ("1", "portability", "x", "the probe has no answer"),
    ]


def test_too_long_for_the_context():
    tokenizer = tiny.byte_level_bpe()
    base, _ = questions(tokenizer, RICH, None)
    longest = {
        q.probe: max(
            len(q.prompt) + q.tokens, *(len(r.ids) for r in (q.row, q.rival) if r is not None), 0
        )
        for q in base
    }
    limit = sorted(longest.values())[len(longest) // 2]
    asked, skipped = questions(tokenizer, RICH, limit)
    assert [q.probe for q in asked] == [p for p, n in longest.items() if n <= limit]
    assert {s.prompt for s in skipped} == {p.prompt for p, n in longest.items() if n > limit}
    assert 0 < len(asked) < len(base)
    assert f"tokens long, the model's context is {limit}" in skipped[0].reason


def test_every_probe_may_be_left_out():
    fact = Fact("x", "k", " ", "k")
    asked, skipped = questions(tiny.byte_level_bpe(), fact, None)
    assert asked == []
    assert len(skipped) == 1
