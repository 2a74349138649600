"""Portability: does what follows from the new answer follow in the edited model.

Rewrite's formula on each probe's own answer; mean of the probes of a subtype, then unweighted mean
of the subtypes.
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.metrics.probes import PORTABILITY
from goldenlayers.metrics.replies import Answered, by_subtype, share_equal


def portability(answered: Sequence[Answered]) -> float | None:
    """Return the mean over subtypes of the share of tokens predicted; None without probes."""
    return by_subtype(answered, PORTABILITY, predicted)


def predicted(answered: Answered) -> float:
    """Return the share of the tokens of a probe's answer that are predicted."""
    return share_equal(answered.after.argmax, answered.answer)
