"""Locality: does the model still say what it said about other things.

Share of answer positions at which argmax before and after the edit agree: agreement, not
correctness. What is fed is the probe's answer, or the unedited model's own greedy continuation
where the record names none. Mean over the probes of a fact, each counting the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.metrics.probes import LOCALITY
from goldenlayers.metrics.replies import Answered, mean, of_kind, share_equal


def locality(answered: Sequence[Answered]) -> float | None:
    """Return the share of positions that did not change; None without locality probes."""
    return mean(share_equal(a.after.argmax, a.before.argmax) for a in of_kind(answered, LOCALITY))
