"""WikiBio in KnowEdit's form: a passage as the prompt, its next sentence as the new answer.

The subject is the passage's person, in lower case as the passage's first sentence names it ("This
is a Wikipedia passage about rick mahler."); what follows spells the name as usual.
"""

from __future__ import annotations

from goldenlayers.facts.fact import Fact
from goldenlayers.facts.formats.base import (
    Built,
    Format,
    Notes,
    Record,
    locality,
    portability,
    required,
    some_answers,
    subject_in,
)
from goldenlayers.facts.validate import check_text

_REQUIRED = ("text", "labels", "concept")


def build(record: Record, number: int) -> Built:
    """Return the fact of a record; it has no old answer."""
    required(record, _REQUIRED)
    notes = Notes()
    prompt = check_text(record["text"], "text")
    new = some_answers(record["labels"], "labels")
    fact = Fact(
        id=f"wikibio-{number}",
        subject=subject_in(check_text(record["concept"], "concept"), prompt, notes),
        prompt=prompt,
        target_new=new[0],
        aliases=new[1:],
        locality=locality(record.get("locality"), "locality", notes),
        portability=portability(record.get("portability"), "portability", notes),
    )
    return Built(fact, tuple(notes.texts))


WIKIBIO = Format(
    name="wikibio",
    title="WikiBio of KnowEdit",
    required=_REQUIRED,
    optional=("locality", "portability"),
    build=build,
)
