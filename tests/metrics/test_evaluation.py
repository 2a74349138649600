"""Means, standard errors and joins, by hand."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.metrics.evaluation import Evaluation, FactScores
from goldenlayers.metrics.questions import SkippedProbe
from goldenlayers.metrics.scores import NAMES, OF_A_FACT


def made(*rows, **rest):
    """An evaluation whose facts have these scores; before, all are 0.1 lower."""
    facts = []
    for i, row in enumerate(rows):
        scores = {name: row.get(name) for name in OF_A_FACT}
        before = {n: None if v is None else v - 0.1 for n, v in scores.items()}
        facts.append(FactScores(str(i), scores, before))
    return Evaluation(tuple(facts), **rest)


def test_mean_and_standard_error_by_hand():
    e = made({"rewrite": 1.0}, {"rewrite": 0.0}, {}, {"rewrite": 0.5})
    assert e.mean("rewrite") == 0.5
    assert e.count("rewrite") == 3
    # deviations 0.5, -0.5, 0: variance 0.5 / 2, over 3 facts
    assert e.standard_error("rewrite") == pytest.approx(math.sqrt(0.25 / 3))
    assert e.mean("rewrite", before=True) == pytest.approx(0.4)


@pytest.mark.parametrize("rows", [[], [{"rewrite": 1.0}], [{"rewrite": 1.0}, {}]])
def test_fewer_than_two_facts_have_no_standard_error(rows):
    e = made(*rows)
    for name in NAMES:
        assert e.standard_error(name) is None
        assert e.mean("rephrase") is None


def test_the_mean_is_that_of_the_members_means():
    e = made(
        {"rewrite": 1.0, "locality": 0.5, "mean": 0.75},
        {"rewrite": 0.0, "mean": 0.0},
        {"rewrite": 0.5, "locality": 1.0, "mean": 0.75},
    )
    assert e.members == ("rewrite", "locality")
    assert e.mean("mean") == (0.5 + 0.75) / 2
    assert "rewrite, locality" in repr(e)
    assert e.summary()["mean_of"] == ["rewrite", "locality"]


shares = st.floats(0, 1)


@given(st.lists(st.tuples(shares, shares, shares), min_size=2, max_size=8))
def test_over_complete_facts_the_error_of_the_mean_is_that_of_their_means(rows):
    e = made(*({"rewrite": a, "rephrase": b, "locality": c} for a, b, c in rows))
    own = [sum(row) / 3 for row in rows]
    assert e.mean("mean") == pytest.approx(statistics.fmean(own))
    expected = statistics.stdev(own) / math.sqrt(len(own))
    assert e.standard_error("mean") == pytest.approx(expected, abs=1e-9)


def test_counterfact_score_and_its_error():
    rows = [(1, 1, 0.8), (1, 0.5, 0.4), (0, 0.5, 0.9), (1, 0, 0.6)]
    e = made(*({"efficacy": a, "paraphrase": b, "neighbourhood": c} for a, b, c in rows))
    means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    score = statistics.harmonic_mean(means)
    assert e.mean("counterfact_score") == pytest.approx(score)
    assert e.count("counterfact_score") == 4
    # the delta method with derivatives taken numerically
    step = 1e-6
    slopes = [
        (statistics.harmonic_mean([m + step * (i == j) for j, m in enumerate(means)]) - score)
        / step
        for i in range(3)
    ]
    z = [sum(s * v for s, v in zip(slopes, row, strict=True)) for row in rows]
    expected = statistics.stdev(z) / 2
    assert e.standard_error("counterfact_score") == pytest.approx(expected, rel=1e-4)


def test_counterfact_score_of_incomplete_and_hopeless_sets():
    assert made({"efficacy": 1.0, "paraphrase": 1.0}).mean("counterfact_score") is None
    hopeless = made(*[{"efficacy": 0.0, "paraphrase": 1.0, "neighbourhood": 1.0}] * 2)
    assert hopeless.mean("counterfact_score") == 0
    assert hopeless.standard_error("counterfact_score") is None


def test_an_unknown_score_is_named():
    with pytest.raises(SettingsError, match="score 'reliability' is unknown; expected one of rew"):
        made({}).mean("reliability")
    with pytest.raises(SettingsError, match="unknown"):
        made({}).standard_error("x")
    with pytest.raises(SettingsError, match="unknown"):
        made({}).count("x")


def test_summary_names_every_score():
    e = made({"rewrite": 1.0}, {"rewrite": 0.0})
    summary = e.summary()
    assert list(summary["scores"]) == list(NAMES)
    assert summary["scores"]["rewrite"] == {
        "before": pytest.approx(0.4),
        "before_standard_error": pytest.approx(0.5),
        "after": 0.5,
        "standard_error": 0.5,
        "facts": 2,
    }
    assert summary["scores"]["fluency"]["after"] is None
    assert summary["scores"]["fluency"]["facts"] == 0


def by_kind(*rows):
    """An evaluation whose facts have these scores by kind; before, all are 0.1 lower."""
    return Evaluation(
        tuple(
            FactScores(
                str(i),
                dict.fromkeys(OF_A_FACT),
                dict.fromkeys(OF_A_FACT),
                row,
                {name: value - 0.1 for name, value in row.items()},
            )
            for i, row in enumerate(rows)
        )
    )


def test_scores_by_kind_leave_out_the_facts_that_lack_the_kind():
    e = by_kind(
        {"portability/Reasoning": 1.0, "locality/a/b": 0.5},
        {},
        {"locality/first": 0.25, "locality/a/b": 1.0, "generated_locality/a/b": 0.0},
    )
    names = ("locality/a/b", "locality/first", "portability/Reasoning", "generated_locality/a/b")
    assert e.kinds == names
    assert e.mean("locality/a/b") == 0.75
    assert e.mean("locality/a/b", before=True) == pytest.approx(0.65)
    assert e.count("locality/a/b") == 2
    assert e.standard_error("locality/a/b") == pytest.approx(0.25)
    assert e.standard_error("locality/first") is None
    assert list(e.summary()["kinds"]) == list(names)
    assert e.summary()["kinds"]["locality/a/b"] == {
        "before": pytest.approx(0.65),
        "before_standard_error": pytest.approx(0.25),
        "after": 0.75,
        "standard_error": pytest.approx(0.25),
        "facts": 2,
    }
    with pytest.raises(SettingsError, match=r"'locality/x' is unknown; .*, locality/a/b, "):
        e.mean("locality/x")


def test_join_keeps_the_kinds():
    whole = by_kind({"locality/a": 1.0}, {"locality/b": 0.5}, {"locality/b": 0.0}, {})
    parts = [Evaluation((fact,)) for fact in whole.facts]
    assert [part.kinds for part in parts] == [("locality/a",), ("locality/b",), ("locality/b",), ()]
    joined = Evaluation.join(parts)
    assert joined == whole
    assert joined.summary() == whole.summary()
    assert [joined.count(name) for name in joined.kinds] == [1, 2]


def test_join():
    skip = SkippedProbe("0", "rephrase", "", "p", "long")
    settings = {"seed": 0}
    one = made({"rewrite": 1.0}, settings=settings, seconds={"after": 1.0}, skipped=(skip,))
    facts = tuple(FactScores("other", f.scores, f.before) for f in one.facts)
    two = Evaluation(facts, ({"a": 1},), (), settings, {}, {"after": 2.0, "before": 4.0})
    whole = Evaluation.join(part for part in (one, two))
    assert [f.id for f in whole.facts] == ["0", "other"]
    assert whole.seconds == {"after": 3.0, "before": 4.0}
    assert whole.skipped == (skip,)
    assert whole.outputs == ({"a": 1},)
    assert Evaluation.join([one]) == one
    with pytest.raises(FactError, match="fact '0' is in two"):
        Evaluation.join([one, one])
    with pytest.raises(SettingsError, match="different settings"):
        Evaluation.join([one, Evaluation(facts, settings={"seed": 1})])
    with pytest.raises(SettingsError, match="no evaluations"):
        Evaluation.join([])
