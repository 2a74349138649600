"""Which facts methods choose on, and which they are judged on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.facts.fact_set import FactSet


def parts(facts: FactSet, test: int | None) -> tuple[list[Fact], list[Fact]]:
    """Return the proxy facts, and the first `test` of the test facts (None for all).

    Raises:
        FactError: If there are none of either.
        SettingsError: If `test` is out of range.
    """
    pool = [f for f in facts if f.split == "proxy"]
    tested = [f for f in facts if f.split == "test"]
    if not pool or len(tested) < 2:
        raise FactError(
            f"{facts.source}: {len(pool)} facts marked as proxy and {len(tested)} as test; "
            'expected both, in the field "split": methods choose on the proxy facts and are '
            "judged on the test facts, two or more"
        )
    if test is not None and not 2 <= test <= len(tested):
        raise SettingsError(f"test {test}: expected 2 to {len(tested)}, the test facts there are")
    return pool, tested[:test]


def draw(pool: Sequence[Fact], size: int, repeats: int, seed: int) -> list[list[Fact]]:
    """Draw sets of proxy facts; they share no fact as long as there are enough.

    Raises:
        SettingsError: If a number is out of range.
    """
    if not 1 <= size <= len(pool):
        raise SettingsError(f"proxy {size}: expected 1 to {len(pool)}, the proxy facts there are")
    if repeats < 1:
        raise SettingsError(f"repeats {repeats}: expected 1 or more")
    rng = np.random.default_rng(seed)
    order: list[int] = []
    draws = []
    for _ in range(repeats):
        if len(order) < size:
            order = [int(i) for i in rng.permutation(len(pool))]
        draws.append([pool[i] for i in order[:size]])
        order = order[size:]
    return draws
