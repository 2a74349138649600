"""KnowEdit's ZsRE, WikiCounterfact and WikiRecent: one schema, told apart by what they lack.

KnowEdit: arXiv 2401.01286. ZsRE asks questions and has one rephrasing; WikiCounterfact and
WikiRecent, from RippleEdits, state facts and have none; WikiRecent has no old answer. Answers are
texts, lists, or lists of alias lists.
"""

from __future__ import annotations

from goldenlayers.facts.fact import Fact
from goldenlayers.facts.formats.base import (
    Built,
    Format,
    Notes,
    Record,
    answers,
    locality,
    portability,
    required,
    some_answers,
    subject_in,
    texts,
)
from goldenlayers.facts.validate import check_text

_REQUIRED = ("subject", "prompt", "target_new")
_REPHRASE = ("rephrase_prompt", "rephrase")
_PROBES = ("locality", "portability")


def _build(name: str, fields: tuple[str, ...], record: Record, number: int) -> Built:
    required(record, fields)
    notes = Notes()
    prompt = check_text(record["prompt"], "prompt")
    new = some_answers(record["target_new"], "target_new")
    old: tuple[str, ...] = answers(record.get("ground_truth"), "ground_truth")
    if "ground_truth" in fields:
        old = some_answers(record["ground_truth"], "ground_truth")
    fact = Fact(
        id=f"{name}-{number}",
        subject=subject_in(check_text(record["subject"], "subject"), prompt, notes),
        prompt=prompt,
        target_new=new[0],
        target_old=old[0] if old else None,
        aliases=new[1:],
        rephrase_prompts=tuple(t for field in _REPHRASE for t in texts(record.get(field), field)),
        locality=locality(record.get("locality"), "locality", notes),
        portability=portability(record.get("portability"), "portability", notes),
    )
    return Built(fact, tuple(notes.texts))


def _zsre(record: Record, number: int) -> Built:
    return _build("zsre", (*_REQUIRED, "ground_truth"), record, number)


def _wiki_counterfact(record: Record, number: int) -> Built:
    return _build("wiki-counterfact", (*_REQUIRED, "ground_truth"), record, number)


def _wiki_recent(record: Record, number: int) -> Built:
    return _build("wiki-recent", _REQUIRED, record, number)


ZSRE = Format(
    name="zsre",
    title="ZsRE of KnowEdit",
    required=(*_REQUIRED, "ground_truth"),
    marks=_REPHRASE,
    optional=_PROBES,
    build=_zsre,
)
WIKI_COUNTERFACT = Format(
    name="wiki-counterfact",
    title="WikiCounterfact of KnowEdit",
    required=(*_REQUIRED, "ground_truth"),
    marks=_PROBES,
    optional=_REPHRASE,
    build=_wiki_counterfact,
)
WIKI_RECENT = Format(
    name="wiki-recent",
    title="WikiRecent of KnowEdit",
    required=_REQUIRED,
    marks=_PROBES,
    optional=("ground_truth", *_REPHRASE),
    build=_wiki_recent,
)
