"""What is counted of facts, against plain loops over them; and how long they are in tokens."""

from __future__ import annotations

import statistics
from collections import Counter

import pytest

from goldenlayers.facts import BadRecord, Fact, LocalityProbe, Note, PortabilityProbe, bundled_facts
from goldenlayers.facts.read import Item
from goldenlayers.facts.summary import KEPT, FactsSummary
from goldenlayers.metrics.lengths import Lengths
from tests import tiny
from tests.facts.records import EXAMPLES

NEAR = {"a": (LocalityProbe("x"), LocalityProbe("y", "z")), "b": (LocalityProbe("w"),), "c": ()}
FAR = {"hop": (PortabilityProbe("x", ("y",)),)}
FACTS = [
    *(fact for _, fact in EXAMPLES.values()),
    *bundled_facts()[:40],
    Fact("1", "A", "A is", "b", "c", ("d",), ("e", "f"), NEAR, FAR, "proxy"),
    Fact("2", "A", "A is", "b", " b "),  # says it again, and asks for no change
    Fact("3", "A", "A is", "other", locality=NEAR),  # another answer to it
    Fact("4", "A", "A is", "other", portability=FAR),  # says what 3 says
    Fact("5", "A", "A is ", "b"),  # another prompt
    Fact("6", "A ", "A is ", "b"),  # another subject
]


def summary_of(facts):
    summary = FactsSummary()
    for fact in facts:
        summary.add(fact)
    return summary


def slow_kinds(facts, name):
    """Return by kind: probes, facts that have any, probes without an answer."""
    out = {}
    for fact in facts:
        for kind, probes in getattr(fact, name).items():
            counts = out.setdefault(kind, {"probes": 0, "facts": 0, "unanswered": 0})
            counts["probes"] += len(probes)
            counts["facts"] += 1 if probes else 0
            counts["unanswered"] += sum(1 for p in probes if getattr(p, "answer", "") is None)
    return out


def test_counts_are_those_of_plain_loops():
    duplicates, conflicts, names = 0, 0, []
    for i, fact in enumerate(FACTS):
        earlier = [f for f in FACTS[:i] if (f.subject, f.prompt) == (fact.subject, fact.prompt)]
        if any(f.target_new == fact.target_new for f in earlier):
            duplicates += 1
        elif earlier:
            conflicts += 1
        names += [fact.id] if earlier else []
    assert (duplicates, conflicts, names) == (2, 1, ["2", "3", "4"])
    assert summary_of(FACTS).to_dict() == {
        "facts": len(FACTS),
        "subjects": len({f.subject for f in FACTS}),
        "splits": dict(Counter(f.split or "none" for f in FACTS)),
        "with_old_answer": sum(f.target_old is not None for f in FACTS),
        "with_equal_answers": 2,  # number 2, and the known fact
        "with_aliases": len([f for f in FACTS if f.aliases]),
        "with_rephrasings": len([f for f in FACTS if f.rephrase_prompts]),
        "rephrasings": sum(len(f.rephrase_prompts) for f in FACTS),
        "locality": slow_kinds(FACTS, "locality"),
        "portability": slow_kinds(FACTS, "portability"),
        "duplicates": duplicates,
        "conflicts": conflicts,
        "duplicate_ids": names,
        "bad_records": [],
        "notes": [],
        "notes_in_all": 0,
    }


def test_nothing_at_all():
    told = summary_of([]).to_dict()
    assert (told["facts"], told["subjects"], told["locality"], told["duplicates"]) == (0, 0, {}, 0)


def test_notes_are_counted_and_the_first_kept():
    summary = FactsSummary()
    said = [Note("x", f"note {i}") for i in range(KEPT + 5)]
    for start in range(0, len(said), 7):
        summary.add(FACTS[0], tuple(said[start : start + 7]))
    summary.bad.append(BadRecord(4, "why", 2))
    told = summary.to_dict()
    assert told["notes_in_all"] == KEPT + 5
    assert told["notes"] == [{"id": n.id, "text": n.text} for n in said[:KEPT]]
    assert told["bad_records"] == [{"line": 4, "record": 2, "reason": "why"}]
    repeated = len(range(0, len(said), 7)) - 1
    assert (told["duplicates"], told["duplicate_ids"]) == (repeated, ["mill"] * repeated)


def items(facts):
    bad = Item(bad=BadRecord(1, "why", 0), line=1, record=0)
    return [bad, *(Item(fact=f, line=i, record=i) for i, f in enumerate(facts, start=2)), bad]


def n_tokens(tokenizer, text):
    """Return how many of a text's tokens are there, and how many of them begin it (BOS)."""
    return len(tokenizer(text)["input_ids"])


MEASURED = [*tiny.FACTS, Fact("none", "Norland", "In Norland they like", "the old harbour")] * 40


def test_lengths_are_those_of_the_tokenizer():
    tokenizer = tiny.tokenizer("gpt2")  # byte-level BPE without special tokens: a prompt's tokens
    lengths = Lengths(tokenizer, None)  # are the same with and without its answer
    given = items(MEASURED)
    assert len(given) > 256  # more than one block
    assert list(lengths.measured(given)) == given
    told = lengths.to_dict()
    slow = {"prompt": [], "new answer": [], "old answer": []}
    for fact in MEASURED:
        slow["prompt"].append(n_tokens(tokenizer, fact.prompt))
        slow["new answer"].append(n_tokens(tokenizer, f" {fact.target_new}"))
        if fact.target_old is not None:
            slow["old answer"].append(n_tokens(tokenizer, f" {fact.target_old}"))
    for name, counts in slow.items():
        ordered = sorted(counts)
        assert told[name] == {
            "facts": len(counts),
            "least": min(counts),
            "median": statistics.median_low(counts),
            "p95": next(n for n in ordered if sum(m <= n for m in counts) >= 0.95 * len(counts)),
            "most": max(counts),
            "mean": pytest.approx(statistics.mean(counts)),
        }
        assert len(set(counts)) > 1


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_facts_too_long_for_the_context_are_set_aside_by_name(name):
    tokenizer = tiny.tokenizer(name)
    facts = tiny.FACTS
    sizes = [
        max(n_tokens(tokenizer, f"{f.prompt} {a}") for a in (f.target_new, f.target_old))
        for f in facts
    ]
    limit = sorted(sizes)[3]
    lengths = Lengths(tokenizer, limit)
    given = items(facts)
    found = list(lengths.measured(given))
    assert len(found) == len(given)
    for before, after in zip(given, found, strict=True):
        if before.fact is None or sizes[before.record - 2] <= limit:
            assert after is before
            continue
        size = sizes[before.record - 2]
        reason = f"fact {before.fact.id}: {size} tokens long, the model's context is {limit}"
        assert after.fact is None
        assert after.bad == BadRecord(before.line, reason)
        assert after.bad.record == before.record
    kept = sum(size <= limit for size in sizes)
    assert 0 < kept < len(facts)
    assert lengths.to_dict()["prompt"]["facts"] == kept


def test_nothing_to_measure():
    lengths = Lengths(tiny.tokenizer("gpt2"), 5)
    assert len(list(lengths.measured(items([])))) == 2
    assert lengths.to_dict() == {"prompt": None, "new answer": None, "old answer": None}
