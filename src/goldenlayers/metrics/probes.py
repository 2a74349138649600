"""The probes of a fact: every prompt that the model is asked, and what counts as right."""

from __future__ import annotations

from dataclasses import dataclass

from goldenlayers.facts.fact import Fact

REWRITE, REPHRASE, LOCALITY, PORTABILITY = "rewrite", "rephrase", "locality", "portability"


@dataclass(frozen=True, slots=True)
class Probe:
    """One prompt that a model is asked.

    Attributes:
        kind: "rewrite", "rephrase", "locality" or "portability".
        subtype: The record's own name for the kind of locality or portability, else "".
        prompt: Text to be continued.
        answers: Accepted continuations. Teacher-forced scores use the first, generated scores
            accept any. Empty for a locality probe without an answer.
    """

    kind: str
    subtype: str
    prompt: str
    answers: tuple[str, ...]


def probes(fact: Fact) -> list[Probe]:
    """Return the probes of a fact: rewrite, rephrasings, locality, portability, in this order."""
    new = (fact.target_new, *fact.aliases)
    return [
        Probe(REWRITE, "", fact.prompt, new),
        *(Probe(REPHRASE, "", prompt, new) for prompt in fact.rephrase_prompts),
        *(
            Probe(LOCALITY, name, p.prompt, () if p.answer is None else (p.answer,))
            for name, found in fact.locality.items()
            for p in found
        ),
        *(
            Probe(PORTABILITY, name, p.prompt, p.answers)
            for name, found in fact.portability.items()
            for p in found
        ),
    ]
