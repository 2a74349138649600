"""Facts in runs: each once, those of like length together, no more than there is room for."""

from __future__ import annotations

import random
from itertools import pairwise
from types import SimpleNamespace

from goldenlayers.editors.fact_runs import in_runs, longest_row, longest_tail


def fact(*rows):
    """Return what stands for rows of (tokens, subject)."""
    return SimpleNamespace(fed=[SimpleNamespace(ids=[0] * n, subject=at) for n, at in rows])


def test_lengths():
    one = fact((9, 3), (12, 8), (4, 0))
    assert (longest_tail(one), longest_row(one)) == (6, 12)


def test_runs():
    short, middle, long = fact((4, 2), (4, 2)), fact((5, 1), (5, 1)), fact((20, 0), (20, 0))
    facts = [long, short, middle, short]
    assert in_runs(facts, longest_tail, 16) == [[1, 3], [2], [0]]  # 8 tokens, 8, 40 alone
    assert in_runs(facts, longest_tail, 24) == [[1, 3, 2], [0]]  # 3 facts of 8
    assert in_runs(facts, longest_tail, 23) == [[1, 3], [2], [0]]
    assert in_runs(facts, longest_tail) == [[1, 3, 2, 0]]
    assert in_runs([], longest_tail) == []


def test_every_fact_is_in_one_run_and_runs_are_full():
    draw = random.Random(0)
    facts = [fact(*[(draw.randint(3, 30), 2)] * draw.randint(1, 6)) for _ in range(200)]
    runs = in_runs(facts, longest_tail, 128)
    assert sorted(i for run in runs for i in run) == list(range(200))

    def tokens(run):
        return sum(len(facts[i].fed) for i in run) * max(longest_tail(facts[i]) for i in run)

    for run, following in pairwise(runs):
        assert len(run) == 1 or tokens(run) <= 128
        assert tokens([*run, following[0]]) > 128
