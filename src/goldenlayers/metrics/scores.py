"""All scores by name: which there are, and those of one fact.

Locality and portability are kept for each subtype as well, by the name that the record gives it:
"locality/Relation_Specificity", "generated_portability/Reasoning".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from goldenlayers.metrics.counterfact import efficacy, neighbourhood, paraphrase
from goldenlayers.metrics.fluency import fluency
from goldenlayers.metrics.generated import (
    generated_locality,
    generated_portability,
    generated_rephrase,
    generated_rewrite,
    right,
)
from goldenlayers.metrics.locality import locality, unchanged
from goldenlayers.metrics.portability import portability, predicted
from goldenlayers.metrics.probes import LOCALITY, PORTABILITY
from goldenlayers.metrics.rephrase import rephrase
from goldenlayers.metrics.replies import Answered, mean, of_subtypes
from goldenlayers.metrics.rewrite import nll_new, rewrite

# Scores that are functions of the probes' replies; shares between 0 and 1 but for nll_new, nats.
OF_REPLIES: dict[str, Callable[[Sequence[Answered]], float | None]] = {
    "rewrite": rewrite,
    "rephrase": rephrase,
    "locality": locality,
    "portability": portability,
    "generated_rewrite": generated_rewrite,
    "generated_rephrase": generated_rephrase,
    "generated_locality": generated_locality,
    "generated_portability": generated_portability,
    "efficacy": efficacy,
    "paraphrase": paraphrase,
    "neighbourhood": neighbourhood,
    "nll_new": nll_new,
}
# Scores that have a value for each subtype: the kind of the probes, and the score of one probe.
OF_SUBTYPES: dict[str, tuple[str, Callable[[Answered], float | None]]] = {
    "locality": (LOCALITY, unchanged),
    "portability": (PORTABILITY, predicted),
    "generated_locality": (LOCALITY, right),
    "generated_portability": (PORTABILITY, right),
}
MEAN_OF = ("rewrite", "rephrase", "locality", "portability")
COUNTERFACT = ("efficacy", "paraphrase", "neighbourhood")
# Scores of one fact; a set of facts has "counterfact_score" besides, the harmonic mean of the
# set's three CounterFact scores, which is a share over facts and says nothing about one.
OF_A_FACT = (*OF_REPLIES, "fluency", "mean")
NAMES = (*OF_A_FACT, "counterfact_score")


def fact_scores(answered: Sequence[Answered], text: str | None) -> dict[str, float | None]:
    """Return the scores of one fact, as it is after the edit.

    Args:
        answered: The fact's probes with the replies before and after.
        text: What the model wrote for fluency, prompt included; None where nothing was.

    Returns:
        One value for each of `OF_A_FACT`; None where the fact has no probe for it, never 0. "mean"
        is over those of `MEAN_OF` that this fact has.
    """
    scores = {name: score(answered) for name, score in OF_REPLIES.items()}
    scores["fluency"] = None if text is None else fluency(text)
    scores["mean"] = mean(scores[name] for name in MEAN_OF)
    return scores


def subtype_scores(answered: Sequence[Answered]) -> dict[str, float]:
    """Return the scores of one fact's subtypes of locality and portability, after the edit.

    Args:
        answered: The fact's probes with the replies before and after.

    Returns:
        Shares by name of the score and of the subtype, "locality/Relation_Specificity"; the mean
        over the subtypes of a score is the fact's score. What was not asked is not there.
    """
    return {
        subtype_name(score, subtype): value
        for score, (kind, of_probe) in OF_SUBTYPES.items()
        for subtype, value in of_subtypes(answered, kind, of_probe).items()
        if value is not None
    }


def subtype_name(score: str, subtype: str) -> str:
    """Return the name of a score of one subtype; the subtype's own name stays letter for letter."""
    return f"{score}/{subtype}"


def split_name(name: str) -> tuple[str, str]:
    """Return score and subtype of a `subtype_name`; only the subtype may hold another slash."""
    score, _, subtype = name.partition("/")
    return score, subtype
