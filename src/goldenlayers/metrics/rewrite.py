"""Rewrite: does the edited model give the new answer to the prompt that was edited.

Mean over the answer's tokens of [argmax = token], the right prefix fed (section 6 of the method;
EasyEdit calls it rewrite accuracy or reliability).
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.metrics.probes import REWRITE
from goldenlayers.metrics.replies import Answered, mean, nll, of_kind, share_equal


def rewrite(answered: Sequence[Answered]) -> float | None:
    """Return the share of the new answer's tokens that are predicted; None without the probe."""
    return mean(share_equal(a.after.argmax, a.answer) for a in of_kind(answered, REWRITE))


def nll_new(answered: Sequence[Answered]) -> float | None:
    """Return the new answer's mean negative log-likelihood after the bare prompt, nats a token."""
    return mean(nll(a.after.log_probs) for a in of_kind(answered, REWRITE))
