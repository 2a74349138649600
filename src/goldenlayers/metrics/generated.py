"""The generated versions of the four scores: what the model writes itself, greedily.

Teacher forcing is known to overstate success (96.8 % against 38.5 % in arXiv 2502.11177). Here a
probe is right if the first line of the greedy continuation begins with an accepted answer as whole
words, both normalised (`goldenlayers.metrics.known.normalise`). Locality is right if the texts
before and after the edit are the same, normalised. Both locality and portability are means of the
probes of a subtype, then unweighted means of the subtypes, as their teacher-forced versions are.
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.metrics.known import begins_with, normalise
from goldenlayers.metrics.probes import LOCALITY, PORTABILITY, REPHRASE, REWRITE
from goldenlayers.metrics.replies import Answered, by_subtype, mean, of_kind


def generated_rewrite(answered: Sequence[Answered]) -> float | None:
    """Return 1 if the prompt is continued with an accepted answer, 0 if not; None if not asked."""
    return mean(right(a) for a in of_kind(answered, REWRITE))


def generated_rephrase(answered: Sequence[Answered]) -> float | None:
    """Return the share of rephrasings continued with an accepted answer, or None."""
    return mean(right(a) for a in of_kind(answered, REPHRASE))


def generated_locality(answered: Sequence[Answered]) -> float | None:
    """Return the mean over subtypes of the share of unchanged continuations, or None."""
    return by_subtype(answered, LOCALITY, right)


def generated_portability(answered: Sequence[Answered]) -> float | None:
    """Return the mean over subtypes of the share of probes answered right, or None."""
    return by_subtype(answered, PORTABILITY, right)


def right(answered: Answered) -> float | None:
    """Return whether what was generated is right, 1 or 0; None if nothing was generated."""
    probe, text = answered.question.probe, answered.after.generated
    if text is None:
        return None
    if probe.kind == LOCALITY:
        before = answered.before.generated
        return None if before is None else float(same(before, text))
    return float(any(accepts(text, answer) for answer in probe.answers))


def accepts(text: str, answer: str) -> bool:
    """Return whether a text begins with an answer, as whole words if the answer has words."""
    if normalise(answer):
        return begins_with(text, answer)
    return bool(answer.strip()) and text.strip().startswith(answer.strip())


def same(before: str, after: str) -> bool:
    """Return whether two texts are the same, normalised; as they stand if nothing is left."""
    a, b = normalise(before), normalise(after)
    return a == b if a or b else before.strip() == after.strip()
