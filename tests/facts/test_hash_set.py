"""The compact set against Python's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from goldenlayers.facts.hash_set import START, HashSet

NUMBERS = st.integers(0, 2**64 - 1) | st.integers(0, 5).map(lambda n: n * START)  # one slot for all


@given(st.lists(NUMBERS))
def test_as_pythons_set(numbers):
    ours, reference = HashSet(), set()
    for number in numbers:
        assert (number in ours) == (number in reference)
        assert ours.add(number) == (number not in reference)
        reference.add(number)
        assert number in ours
        assert len(ours) == len(reference)


def test_it_grows():
    ours = HashSet()
    numbers = [(n * 0x9E3779B97F4A7C15) % 2**64 for n in range(5 * START)]
    assert all(ours.add(n) for n in numbers)
    assert not any(ours.add(n) for n in numbers)
    assert len(ours) == len(numbers)
    assert 1 not in ours
