"""KnowEdit's ZsRE, WikiCounterfact and WikiRecent: one schema, told apart by what they lack.

KnowEdit: arXiv 2401.01286. ZsRE asks questions and has one rephrasing; WikiCounterfact and
WikiRecent, from RippleEdits, state facts and have none; WikiRecent has no old answer. Answers are
texts, lists, or lists of alias lists.
"""

from __future__ import annotations

from functools import partial

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


def _format(
    name: str, title: str, needed: tuple[str, ...], marks: tuple[str, ...], rest: tuple[str, ...]
) -> Format:
    return Format(name, title, needed, partial(_build, name, needed), marks, rest)


_WITH_OLD = (*_REQUIRED, "ground_truth")
ZSRE = _format("zsre", "ZsRE of KnowEdit", _WITH_OLD, _REPHRASE, _PROBES)
WIKI_COUNTERFACT = _format(
    "wiki-counterfact", "WikiCounterfact of KnowEdit", _WITH_OLD, _PROBES, _REPHRASE
)
WIKI_RECENT = _format(
    "wiki-recent", "WikiRecent of KnowEdit", _REQUIRED, _PROBES, ("ground_truth", *_REPHRASE)
)
