"""Locality: does the model still say what it said about other things.

Share of answer positions at which argmax before and after the edit agree: agreement, not
correctness. What is fed is the probe's answer, or the unedited model's own greedy continuation
where the record names none. Mean of the probes of a subtype, then unweighted mean of the subtypes,
as in KnowEdit.
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.metrics.probes import LOCALITY
from goldenlayers.metrics.replies import Answered, by_subtype, share_equal


def locality(answered: Sequence[Answered]) -> float | None:
    """Return the mean over subtypes of the share of positions that did not change, or None."""
    return by_subtype(answered, LOCALITY, unchanged)


def unchanged(answered: Answered) -> float:
    """Return the share of a probe's answer positions at which argmax is what it was."""
    return share_equal(answered.after.argmax, answered.before.argmax)
