"""ROME's known facts, for causal tracing: facts that a model knows, none of them to be changed."""

from __future__ import annotations

from goldenlayers.facts.fact import Fact
from goldenlayers.facts.formats.base import (
    Built,
    Format,
    Notes,
    Record,
    label,
    required,
    some_answers,
    subject_in,
)
from goldenlayers.facts.validate import check_text

_REQUIRED = ("known_id", "subject", "attribute", "prompt")


def build(record: Record, number: int) -> Built:
    """Return a fact whose old and new answer are the attribute (`Fact.changes` is False)."""
    required(record, _REQUIRED)
    notes = Notes()
    prompt = check_text(record["prompt"], "prompt")
    attribute = some_answers(record["attribute"], "attribute")
    fact = Fact(
        id=label(record["known_id"], "known_id"),
        subject=subject_in(check_text(record["subject"], "subject"), prompt, notes),
        prompt=prompt,
        target_new=attribute[0],
        target_old=attribute[0],
        aliases=attribute[1:],
    )
    return Built(fact, tuple(notes.texts))


KNOWN_FACTS = Format(
    name="known-facts",
    title="the known facts of ROME",
    required=_REQUIRED,
    build=build,
    own_ids=True,
)
