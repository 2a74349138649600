"""Each score on replies made by hand."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenlayers.metrics.counterfact import harmonic_mean
from goldenlayers.metrics.generated import accepts, same
from goldenlayers.metrics.probes import Probe
from goldenlayers.metrics.questions import Question
from goldenlayers.metrics.replies import Answered, Reply
from goldenlayers.metrics.scores import (
    OF_A_FACT,
    OF_REPLIES,
    OF_SUBTYPES,
    fact_scores,
    split_name,
    subtype_name,
    subtype_scores,
)
from goldenlayers.models.text import Row


def answered(
    kind,
    answer,
    after,
    before=None,
    *,
    subtype="",
    answers=("Rome",),
    logs=None,
    rival=None,
    text=None,
    text_before=None,
):
    """One probe: answer ids, argmax before and after, log-probs and texts of the edited model."""
    row = Row((1, *answer), 1)
    question = Question(Probe(kind, subtype, "p", answers), (1,), row, None, None, 5)
    logs = tuple(logs or [-1.0] * len(answer))
    old = Reply(tuple(before or after), logs, rival, None, text_before)
    return Answered(question, old, Reply(tuple(after), logs, rival, None, text))


def test_rewrite_is_the_share_of_tokens_and_nll_their_mean():
    probes = [answered("rewrite", [4, 5, 6, 7], [4, 5, 0, 7], logs=[-1, -2, -3, -6])]
    scores = fact_scores(probes, None)
    assert scores["rewrite"] == 0.75
    assert scores["nll_new"] == 3.0
    others = set(OF_A_FACT) - {"rewrite", "nll_new", "mean"}
    assert {scores[name] for name in others} == {None}  # never 0
    assert scores["mean"] == 0.75


def test_rephrase_weighs_each_wording_the_same():
    probes = [answered("rephrase", [4], [4]), answered("rephrase", [4, 5, 6, 7], [4, 0, 0, 0])]
    assert fact_scores(probes, None)["rephrase"] == (1 + 0.25) / 2


def test_locality_is_agreement_and_not_correctness():
    probes = [
        answered("locality", [4, 5], [8, 9], before=[8, 9], subtype="a"),  # both wrong, agree
        answered("locality", [4, 5], [4, 5], before=[4, 9], subtype="a"),  # right now, but changed
        answered("locality", [4, 5], [1, 2], before=[4, 5], subtype="b"),
    ]
    assert fact_scores(probes, None)["locality"] == ((1 + 0.5) / 2 + 0) / 2


def test_portability_is_the_mean_of_subtypes():
    probes = [
        answered("portability", [4], [4], subtype="a"),
        answered("portability", [4], [4], subtype="b"),
        answered("portability", [4], [0], subtype="b"),
        answered("portability", [4, 5], [0, 5], subtype="b"),
    ]
    assert fact_scores(probes, None)["portability"] == (1 + (1 + 0 + 0.5) / 3) / 2


def test_a_kind_of_many_probes_counts_like_one_of_few():
    probes = [
        answered("locality", [4], [8], before=[8], subtype="few", text="x", text_before="x"),
        *(
            answered("locality", [4], [1], before=[8], subtype="many", text="y", text_before="x")
            for _ in range(3)
        ),
        answered("portability", [4], [4], answers=("b",), subtype="few", text="a"),
    ]
    scores = fact_scores(probes, None)
    assert scores["locality"] == scores["generated_locality"] == 0.5  # not 1 / 4
    assert subtype_scores(probes) == {
        "locality/few": 1.0,
        "locality/many": 0.0,
        "generated_locality/few": 1.0,
        "generated_locality/many": 0.0,
        "portability/few": 1.0,
        "generated_portability/few": 0.0,
    }
    assert fact_scores(probes[1:], None)["locality"] == 0  # one kind: its own mean
    rewritten = [answered("rewrite", [4], [4])]
    assert fact_scores(rewritten, None)["locality"] is None
    assert subtype_scores(rewritten) == {}  # no kind, nothing, never 0


def test_names_of_kinds_come_apart_again():
    for score in OF_SUBTYPES:
        for kind in ("Relation_Specificity", "a/b", "", "locality/x", "[red]x[/]"):
            assert split_name(subtype_name(score, kind)) == (score, kind)


def test_counterfact_compares_the_mean_per_token():
    # the sum of four tokens is lower, their mean higher: ROME takes the mean
    longer = answered("rewrite", [1, 2, 3, 4], [0] * 4, logs=[-1] * 4, rival=(-1.5,))
    assert fact_scores([longer], None)["efficacy"] == 1
    tie = answered("rewrite", [1], [0], logs=[-2.0], rival=(-2.0, -2.0))
    assert fact_scores([tie], None)["efficacy"] == 0  # strictly
    paraphrases = [
        answered("rephrase", [1], [0], logs=[-1], rival=(-2,)),
        answered("rephrase", [1], [0], logs=[-3], rival=(-2,)),
        answered("rephrase", [1], [0], logs=[-3]),  # no old answer: not counted
        answered("rephrase", [1], [0], logs=[-1], rival=(-1.1,)),
    ]
    assert fact_scores(paraphrases, None)["paraphrase"] == pytest.approx(2 / 3)
    neighbours = [
        answered("locality", [1], [0], logs=[-1], rival=(-9,), subtype="neighborhood"),
        answered("locality", [1], [0], logs=[-9], rival=(-1,), subtype="neighborhood"),
        answered("locality", [1], [0], logs=[-9], subtype="unrelated"),
    ]
    assert fact_scores(neighbours, None)["neighbourhood"] == 0.5
    assert fact_scores(neighbours[2:], None)["neighbourhood"] is None


def test_generated_scores_accept_aliases():
    names = ("New York City", "NYC")
    probes = [
        answered("rewrite", [1], [0], answers=names, text="NYC, of course"),
        answered("rephrase", [1], [0], answers=names, text="the New York city."),
        answered("rephrase", [1], [0], answers=names, text="New York"),
        answered("portability", [1], [0], answers=names, text="Nycteris", subtype="a"),
        answered("portability", [1], [0], answers=names, text="nyc", subtype="b"),
        answered("locality", [1], [1], answers=(), text="Rome.", text_before="rome"),
        answered("locality", [1], [1], answers=("Oslo",), text="Oslo", text_before="Rome"),
    ]
    scores = fact_scores(probes, None)
    assert scores["generated_rewrite"] == 1
    assert scores["generated_rephrase"] == 0.5
    assert scores["generated_portability"] == 0.5
    assert scores["generated_locality"] == 0.5
    without = [a.without_text() for a in probes]  # nothing generated: no score of any kind
    assert not any(name.startswith("generated") for name in subtype_scores(without))


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("Rome", "Rome", True),
        ("Romeo", "Rome", False),
        ("in Rome", "Rome", False),
        ("ROME!", "rome", True),
        ("the Hague, a city", "The Hague", True),
        ("an apple", "apple", True),
        ("", "Rome", False),
        ("Rome", "", False),
        ("Rome", "  ", False),
        ("+ 3", "+", True),  # nothing is left of the answer when normalised
        ("- 3", "+", False),
    ],
)
def test_accepts(text, answer, expected):
    assert accepts(text, answer) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("a b", "A  b.", True), ("a b", "a c", False), ("", "", True), ("...", "!", False)],
)
def test_same(before, after, expected):
    assert same(before, after) is expected


def test_fluency_is_there_only_with_a_text():
    assert fact_scores([], "a b a b")["fluency"] > 0
    assert fact_scores([], None)["fluency"] is None
    assert fact_scores([], None)["mean"] is None


def test_mean_is_over_the_members_that_the_fact_has():
    probes = [
        answered("rewrite", [4], [4]),
        answered("locality", [4, 5], [4, 5], before=[4, 9]),
    ]
    assert fact_scores(probes, "some text here")["mean"] == (1 + 0.5) / 2


def test_harmonic_mean():
    assert harmonic_mean([1.0, 0.5, 0.25]) == pytest.approx(
        statistics.harmonic_mean([1, 0.5, 0.25])
    )
    assert harmonic_mean([1.0, 0.0, 0.5]) == 0
    assert harmonic_mean([1.0, None, 0.5]) is None
    assert harmonic_mean([]) is None
    # GPT-2 XL with ROME as published: efficacy 100, paraphrase 96.4, neighbourhood 75.4
    assert harmonic_mean([1.0, 0.964, 0.754]) == pytest.approx(0.892, abs=5e-4)


tokens = st.integers(0, 3)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["rewrite", "rephrase", "locality", "portability"]),
            st.sampled_from(["a", "b"]),
            st.lists(st.tuples(tokens, tokens, tokens), min_size=1, max_size=4),
        ),
        max_size=8,
    )
)
def test_shares_stay_shares(spec):
    probes = [
        answered(kind, *zip(*triples, strict=True), subtype=subtype)
        for kind, subtype, triples in spec
    ]
    kinds = {kind for kind, _, _ in spec}
    scores = fact_scores(probes, None)
    for kind in ("rewrite", "rephrase", "locality", "portability"):
        assert (scores[kind] is not None) is (kind in kinds)
    by_kind = subtype_scores(probes)
    for kind in ("locality", "portability"):
        subtypes = sorted({subtype for k, subtype, _ in spec if k == kind})
        assert sorted(n for n in by_kind if n.startswith(kind)) == [f"{kind}/{s}" for s in subtypes]
        own = [by_kind[f"{kind}/{s}"] for s in subtypes]
        if own:
            assert scores[kind] == pytest.approx(statistics.fmean(own))
    for name in set(OF_REPLIES) - {"nll_new"}:
        assert scores[name] is None or 0 <= scores[name] <= 1
    values = [v for v in scores.values() if v is not None]
    assert all(math.isfinite(v) for v in values)
