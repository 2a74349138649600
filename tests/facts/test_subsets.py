"""Subsets of facts: a half, a sample, a split; decided by what facts say, not by their order."""

from __future__ import annotations

import hashlib
import itertools
import random
from dataclasses import replace

import pytest

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts import Fact, FactSet
from goldenlayers.facts.subsets import half_of, proxy_of

SPLITS = enumerate(["test", "proxy", None, "proxy"])
FACTS = FactSet(tuple(Fact(str(i), "A", "A is", "B", split=s) for i, s in SPLITS), "here", "abc")


def ids(facts):
    return [f.id for f in facts]


def many(count, per_subject=1):
    """Return facts about made-up subjects, some facts about each."""
    made = []
    for i in range(count):
        subject = f"Name {i // per_subject}"
        made.append(Fact(f"f{i}", subject, f"{subject} has {i} of", f"answer {i}"))
    return FactSet(tuple(made), "made")


def shuffled(facts, seed=1):
    order = list(facts)
    random.Random(seed).shuffle(order)
    assert order != list(facts)
    return replace(facts, facts=tuple(order))


def said(facts):
    """Return what facts say, whatever they are called and marked."""
    return {(f.subject, f.prompt, f.target_new) for f in facts}


def test_a_set_is_a_sequence_and_a_slice_keeps_where_it_comes_from():
    assert (len(FACTS), FACTS[0].id, FACTS[-1].id, ids(FACTS)) == (4, "0", "3", list("0123"))
    assert FACTS[1:3] == FactSet(FACTS.facts[1:3], source="here", sha256="abc")
    with pytest.raises(IndexError):
        FACTS[4]


@pytest.mark.parametrize(
    ("name", "expected"), [("proxy", "13"), ("test", "0"), ("all", "0123"), ("auto", "13")]
)
def test_split(name, expected):
    chosen = FACTS.split(name)
    assert (ids(chosen), chosen.source, chosen.sha256) == (list(expected), "here", "abc")
    assert ids(FACTS[::2].split("auto")) == ["0", "2"]  # all, where none is marked proxy


def test_split_errors():
    with pytest.raises(SettingsError) as unknown:
        FACTS.split("train")
    assert str(unknown.value) == "split 'train' is unknown; expected proxy, test, all or auto"
    with pytest.raises(FactError) as empty:
        FACTS[1:].split("test")
    assert str(empty.value) == (
        "here: none of the 3 facts is in split 'test'; "
        "mark facts with it in the field 'split', take --split proxy=0.1 to mark a tenth, "
        "or choose --split all"
    )


# pinned: a study that kept a half back must find the same half in every later version
@pytest.mark.parametrize(
    ("subject", "half"),
    [("France", "b"), ("Ada Quill", "b"), ("Süd-Öland", "a"), ("日本", "b"), ("M. O'Neil", "a")],
)
def test_half_is_decided_by_the_subject_alone(subject, half):
    assert half_of(Fact("1", subject, f"{subject} is", "a")) == half
    for spelled in (subject.upper(), f" {subject.lower()} "):
        other = Fact("2", spelled, f"The {spelled} was", "b", "c", split="test")
        assert half_of(other) == half
    # SHA-256 of "4:half" and the subject with its length, in lower case; its last bit
    text = f"4:half{len(subject.casefold())}:{subject.casefold()}"
    digest = hashlib.sha256(text.encode()).digest()
    assert "ab"[digest[-1] % 2] == half


def test_halves_are_disjoint_complete_and_about_as_large():
    facts = many(2000)
    a, b = facts.half("a"), facts.half(" B ")
    assert sorted(ids(a) + ids(b), key=lambda i: int(i[1:])) == ids(facts)
    assert 0.45 * 2000 < len(a) < 0.55 * 2000  # 4.5 standard deviations
    assert ids(a) == [i for i in ids(facts) if i in set(ids(a))]  # in the order of the file
    assert (a.selection, b.selection, a.source) == (("half a",), ("half b",), "made")
    assert said(shuffled(facts).half("a")) == said(a)


def test_half_errors():
    with pytest.raises(SettingsError) as unknown:
        FACTS.half("c")
    assert str(unknown.value) == "half 'c' is unknown; expected a or b"
    empty = {"a": "b", "b": "a"}[half_of(FACTS[0])]  # all four are about one subject
    assert len(FACTS.half(half_of(FACTS[0]))) == 4
    with pytest.raises(FactError) as caught:
        FACTS.half(empty)
    assert str(caught.value) == f"here: none of the 4 facts is in half {empty}"


@pytest.mark.parametrize("seed", [0, 7])
def test_sample_is_nested_and_knows_no_order(seed):
    facts = many(300)
    samples = [facts.sample(n, seed) for n in (1, 40, 41, 300)]
    assert [len(s) for s in samples] == [1, 40, 41, 300]
    for smaller, larger in itertools.pairwise(samples):
        assert said(smaller) < said(larger)
    for sample in samples:
        assert ids(sample) == [i for i in ids(facts) if i in set(ids(sample))]
        other = shuffled(facts)
        renamed = replace(other, facts=tuple(replace(f, id="x" + f.id) for f in other))
        assert said(renamed.sample(len(sample), seed)) == said(sample)
    assert samples[1].selection == (f"sample of 40, seed {seed}",)
    assert said(facts.sample(40, seed + 1)) != said(samples[1])
    assert len(said(facts.sample(40, seed + 1)) & said(samples[1])) < 20


def test_sample_errors():
    for size, seed, why in [
        (0, 0, "sample 0: expected 1 or more"),
        (-1, 0, "sample -1: expected 1 or more"),
        (1, -1, "seed -1: expected 0 or more"),
    ]:
        with pytest.raises(SettingsError) as caught:
            FACTS.sample(size, seed)
        assert str(caught.value) == why
    with pytest.raises(FactError) as few:
        FACTS.sample(5)
    assert (
        str(few.value) == "here: a sample of 5 facts was asked for and there are 4; ask for fewer"
    )


def slow_proxy(facts, proxy, seed):
    """Return the proxy's positions: whole subjects in the order of their digests, until enough."""
    wanted = proxy if proxy >= 1 else max(1, round(proxy * len(facts)))
    subjects = {f.subject.strip().casefold() for f in facts}

    def number(subject):
        text = f"5:split{len(str(seed))}:{seed}{len(subject)}:{subject}"
        return int(hashlib.sha256(text.encode()).hexdigest()[-16:], 16)

    chosen = set()
    for subject in sorted(subjects, key=number):
        if len(chosen) < wanted:
            chosen |= {i for i, f in enumerate(facts) if f.subject.strip().casefold() == subject}
    return chosen


@pytest.mark.parametrize("per_subject", [1, 3])
@pytest.mark.parametrize("proxy", [0.001, 0.1, 0.5, 0.999, 1, 1.0, 20, 59])
def test_proxy_is_that_of_the_slow_way(proxy, per_subject):
    for seed in (0, 3):
        facts = shuffled(many(60, per_subject))
        expected = slow_proxy(facts, proxy, seed)
        assert proxy_of(facts, proxy, seed) == expected
        wanted = proxy if proxy >= 1 else max(1, round(proxy * 60))
        assert wanted <= len(expected) < wanted + per_subject
        if per_subject == 1:
            assert len(expected) == wanted


def test_marked_keeps_subjects_together_whatever_was_marked():
    facts = many(90, per_subject=3)
    spelled = [replace(f, subject=f.subject.upper(), prompt=f.prompt.upper()) for f in facts[::3]]
    facts = replace(facts, facts=(*facts, *spelled, replace(FACTS[0], id="t")))
    marked = facts.marked(0.2, seed=4)
    assert [replace(f, split=None) for f in marked] == [replace(f, split=None) for f in facts]
    sides = {}
    for fact in marked:
        sides.setdefault(fact.subject.casefold(), set()).add(fact.split)
    assert {len(s) for s in sides.values()} == {1}
    assert set().union(*sides.values()) == {"proxy", "test"}
    assert marked.selection == ("proxy=0.2, seed 4",)
    again = shuffled(facts).marked(0.2, seed=4)
    assert said(again.split("proxy")) == said(marked.split("proxy"))


@pytest.mark.parametrize("proxy", [0, -1, 1.5, float("nan"), float("inf")])
def test_shares_that_are_none(proxy):
    with pytest.raises(SettingsError) as caught:
        FACTS.marked(proxy)
    expected = "expected a share between 0 and 1, or a number of facts"
    assert str(caught.value) == f"proxy={proxy:g}: {expected}"


def test_facts_that_cannot_be_parted():
    with pytest.raises(FactError) as caught:
        FACTS.marked(0.25)  # all of them are about one subject
    assert str(caught.value) == (
        "here: 4 facts cannot be parted into proxy and test with proxy=0.25: 4 would be proxy, for "
        "facts of one subject stay together; both need one at least"
    )
    with pytest.raises(SettingsError, match="seed -1: expected 0 or more"):
        FACTS.marked(0.5, seed=-1)


def test_selections_are_recorded_in_order():
    chosen = many(200).half("a").sample(20, 5).marked(0.5).split("proxy")
    assert chosen.origin() == {
        "source": "made",
        "sha256": None,
        "format": None,
        "selection": ["half a", "sample of 20, seed 5", "proxy=0.5, seed 0"],
    }
    assert len(chosen) == 10
