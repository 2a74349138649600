"""Portability: does what follows from the new answer follow in the edited model.

Rewrite's formula on each probe's own answer; mean of the probes of a subtype, then unweighted mean
of the subtypes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from goldenlayers.metrics.probes import PORTABILITY
from goldenlayers.metrics.replies import Answered, mean, of_kind, share_equal


def portability(answered: Sequence[Answered]) -> float | None:
    """Return the mean over subtypes of the share of tokens predicted; None without probes."""
    return by_subtype(answered, lambda a: share_equal(a.after.argmax, a.answer))


def by_subtype(
    answered: Sequence[Answered], score: Callable[[Answered], float | None]
) -> float | None:
    """Return the mean over subtypes of the mean over their portability probes of a score."""
    found = of_kind(answered, PORTABILITY)
    subtypes = dict.fromkeys(a.question.probe.subtype for a in found)  # in the record's order
    return mean(
        mean(score(a) for a in found if a.question.probe.subtype == subtype) for subtype in subtypes
    )
