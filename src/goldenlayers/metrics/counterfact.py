"""CounterFact's own scores, by probability (ROME, arXiv 2202.05262, section 3.3).

Two answers are compared by their mean negative log-likelihood per token after the same prompt, as
ROME does: the new and the old answer on the rewrite prompt (efficacy) and on the rephrasings
(paraphrase), the true and the new answer on prompts about neighbouring subjects (neighbourhood).
The right side wins only if it is strictly more likely.
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.metrics.probes import LOCALITY, REPHRASE, REWRITE
from goldenlayers.metrics.replies import Answered, mean, nll, of_kind


def efficacy(answered: Sequence[Answered]) -> float | None:
    """Return 1 if the new answer beats the old one on the prompt, 0 if not; None without both."""
    return mean(wins(a) for a in of_kind(answered, REWRITE))


def paraphrase(answered: Sequence[Answered]) -> float | None:
    """Return the share of rephrasings on which the new answer beats the old one, or None."""
    return mean(wins(a) for a in of_kind(answered, REPHRASE))


def neighbourhood(answered: Sequence[Answered]) -> float | None:
    """Return the share of neighbourhood prompts whose true answer beats the new one, or None."""
    return mean(wins(a) for a in of_kind(answered, LOCALITY))


def wins(answered: Answered) -> float | None:
    """Return whether the fed answer is likelier than its rival, 1 or 0; None without a rival."""
    rival = answered.after.rival_log_probs
    return None if rival is None else float(nll(answered.after.log_probs) < nll(rival))


def harmonic_mean(values: Sequence[float | None]) -> float | None:
    """Return the harmonic mean, 0 if a value is 0, None if one is missing."""
    known = [v for v in values if v is not None]
    if not known or len(known) < len(values):
        return None
    return 0.0 if min(known) == 0 else len(known) / sum(1 / v for v in known)
