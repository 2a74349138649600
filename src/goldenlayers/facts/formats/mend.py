"""ZsRE as MEND publishes it (arXiv 2110.11309): questions, a rephrasing, an unrelated one."""

from __future__ import annotations

from types import MappingProxyType

from goldenlayers.facts.fact import Fact, LocalityProbe
from goldenlayers.facts.formats.base import (
    Built,
    Format,
    Notes,
    Record,
    answers,
    required,
    some_answers,
    subject_in,
    texts,
)
from goldenlayers.facts.formats.counterfact import PORTABILITY, one_hop
from goldenlayers.facts.validate import check_text

_REQUIRED = ("subject", "src", "alt", "answers")


def build(record: Record, number: int) -> Built:
    """Return the fact of a record; the locality probe's kind is the name of its field, "loc"."""
    required(record, _REQUIRED)
    notes = Notes()
    prompt = check_text(record["src"], "src")
    new = some_answers(record["alt"], "alt")
    true = answers(record.get("loc_ans"), "loc_ans")
    probes = tuple(
        LocalityProbe(text, true[0] if true else None, true[1:])
        for text in texts(record.get("loc"), "loc")
    )
    fact = Fact(
        id=f"zsre-mend-{number}",
        subject=subject_in(check_text(record["subject"], "subject"), prompt, notes),
        prompt=prompt,
        target_new=new[0],
        target_old=some_answers(record["answers"], "answers")[0],
        aliases=new[1:],
        rephrase_prompts=texts(record.get("rephrase"), "rephrase"),
        locality=MappingProxyType({"loc": probes} if probes else {}),
        portability=one_hop(record.get(PORTABILITY), notes),
    )
    return Built(fact, tuple(notes.texts))


ZSRE_MEND = Format(
    name="zsre-mend",
    title="ZsRE of MEND",
    required=_REQUIRED,
    optional=("rephrase", "loc", "loc_ans", PORTABILITY),
    build=build,
)
