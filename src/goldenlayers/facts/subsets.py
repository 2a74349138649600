"""Reproducible subsets, decided by hashes of the facts' texts and never by their order.

A half, and the side of a split, is decided by the subject alone, upper and lower case apart: facts
about one subject are never on both sides, where an edit of one would tell about the other, and the
same subject is on the same side in every data set and file format.
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.errors import SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.facts.hash_set import text_hash

HALVES = ("a", "b")


def half_of(fact: Fact) -> str:
    """Return "a" or "b": the last bit of the SHA-256 of the subject."""
    return HALVES[text_hash("half", _subject(fact)) & 1]


def sample_key(fact: Fact, seed: int) -> int:
    """Return the number by which a sample is drawn: the facts with the smallest ones are in it."""
    return text_hash("sample", str(seed), fact.subject, fact.prompt, fact.target_new)


def sample_order(facts: Sequence[Fact], seed: int) -> list[int]:
    """Return the positions of the facts in the order in which they are drawn."""
    return sorted(range(len(facts)), key=lambda i: (sample_key(facts[i], seed), i))


def proxy_of(facts: Sequence[Fact], proxy: float, seed: int) -> set[int]:
    """Return the positions of the proxy facts; see `FactSet.marked`.

    Raises:
        SettingsError: If a number is out of range.
    """
    check_proxy(proxy, seed)
    wanted = proxy if proxy >= 1 else max(1, round(proxy * len(facts)))
    keys = [text_hash("split", str(seed), _subject(f)) for f in facts]
    order = sorted(range(len(facts)), key=lambda i: keys[i])
    chosen: set[int] = set()
    for n, i in enumerate(order):
        if len(chosen) >= wanted and keys[i] != keys[order[n - 1]]:
            break
        chosen.add(i)
    return chosen


def check_half(name: str) -> str:
    """Return the name of a half.

    Raises:
        SettingsError: If it is unknown.
    """
    if name.strip().casefold() not in HALVES:
        raise SettingsError(f"half {name!r} is unknown; expected a or b")
    return name.strip().casefold()


def check_sample(size: int, seed: int) -> None:
    """Refuse a size or a seed that is out of range.

    Raises:
        SettingsError: If it is.
    """
    if size < 1:
        raise SettingsError(f"sample {size}: expected 1 or more")
    _check_seed(seed)


def check_proxy(proxy: float, seed: int) -> None:
    """Refuse a share, a number or a seed that is out of range.

    Raises:
        SettingsError: If it is.
    """
    if not 0 < proxy < float("inf") or (proxy >= 1 and proxy != int(proxy)):
        raise SettingsError(
            f"proxy={proxy:g}: expected a share between 0 and 1, or a number of facts"
        )
    _check_seed(seed)


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise SettingsError(f"seed {seed}: expected 0 or more")


def _subject(fact: Fact) -> str:
    return fact.subject.strip().casefold()
