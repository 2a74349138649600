"""Rephrase: rewrite's formula on other wordings of the prompt, mean over the wordings."""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.metrics.probes import REPHRASE
from goldenlayers.metrics.replies import Answered, mean, of_kind, share_equal


def rephrase(answered: Sequence[Answered]) -> float | None:
    """Return the share of the new answer's tokens predicted after the rephrasings, or None."""
    return mean(share_equal(a.after.argmax, a.answer) for a in of_kind(answered, REPHRASE))
