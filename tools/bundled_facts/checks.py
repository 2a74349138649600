"""What every record, and the file as a whole, has to satisfy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from schema import Record, bare, mentions

KEYS = [
    "id",
    "subject",
    "prompt",
    "target_new",
    "target_old",
    "aliases",
    "rephrase_prompts",
    "locality",
    "portability",
    "split",
]
LOCALITY_KINDS = ("same_relation", "same_subject", "unrelated")
PORTABILITY_KINDS = ("reasoning", "subject_aliasing", "inverse")

TOTAL = (190, 230)
RELATION_COUNT = (12, 20)
PER_RELATION = (8, 20)
SPLIT_MINIMUM = {"proxy": 110, "test": 75}
UNRELATED_MINIMUM = 25
PORTABILITY_MINIMUM = 0.6


class FactError(ValueError):
    """A record or the whole set breaks a rule."""


def need(condition: bool, record_id: str, message: str) -> None:
    """Raise a FactError that names the record."""
    if not condition:
        raise FactError(f"{record_id}: {message}")


def strings(value: object) -> Iterator[str]:
    """Walk through all strings of a record, keys excepted."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def check_targets(record: Record) -> None:
    """Old and new answer have to be clearly different and short."""
    name = record["id"]
    old, new = (bare(record[key]) for key in ("target_old", "target_new"))
    need(old != new, name, "old and new answer are equal")
    need(not old.startswith(new) and not new.startswith(old), name, "one answer begins the other")
    # One-letter answers (chemical symbols) differ at once by the rule above.
    need(old[:2] != new[:2], name, "the answers share their beginning")
    for key in ("target_old", "target_new"):
        need(1 <= len(record[key].split()) <= 4, name, f"{key} is not one to four words")
    for alias in record["aliases"]:
        need(bare(alias) != old, name, f"alias {alias!r} is the old answer")
        need(alias != record["target_new"], name, f"alias {alias!r} repeats the new answer")


def check_prompts(record: Record) -> None:
    """The prompt and its rephrasings contain the subject, but no answer."""
    name, subject = record["id"], record["subject"]
    rephrasings = record["rephrase_prompts"]
    prompts = [record["prompt"], *rephrasings]
    need(len(rephrasings) >= 2, name, "fewer than two rephrasings")
    need(len({bare(text) for text in prompts}) == len(prompts), name, "rephrasings repeat")
    for text in prompts:
        need(subject in text, name, f"no subject in {text!r}")
        for key in ("target_old", "target_new"):
            need(not mentions(text, record[key]), name, f"{text!r} contains {key}")


def check_probe(name: str, prompt: str, answers: Sequence[str]) -> None:
    """A probe is a cloze without its answer inside."""
    need(bool(answers) and all(answers), name, f"no answer for {prompt!r}")
    for answer in answers:
        need(not mentions(prompt, answer), name, f"{prompt!r} contains its answer {answer!r}")


def check_locality(record: Record) -> None:
    """All three kinds are there, and none of them is about the edited fact."""
    name, subject, locality = record["id"], record["subject"], record["locality"]
    need(tuple(locality) == LOCALITY_KINDS, name, "the locality kinds are not the three known")
    targets = {bare(record["target_old"]), bare(record["target_new"])}
    edited = {record["prompt"], *record["rephrase_prompts"]}
    for kind, probes in locality.items():
        need(bool(probes), name, f"no {kind} probe")
        for probe in probes:
            prompt, answer = probe["prompt"], probe["answer"]
            check_probe(name, prompt, [answer])
            need(prompt not in edited, name, f"{prompt!r} is the edited fact itself")
            if kind == "same_subject":
                need(subject in prompt, name, f"no subject in {prompt!r}")
                need(bare(answer) not in targets, name, f"{prompt!r} asks for an answer edited")
            else:
                need(not mentions(prompt, subject), name, f"{prompt!r} contains the subject")
            if kind == "same_relation":
                need(subject not in prompt, name, f"{prompt!r} contains the subject")
                need(bare(answer) not in targets, name, f"{prompt!r} has the old or new answer")


def check_portability(record: Record) -> None:
    """Known kinds only, and the right relation to the subject."""
    name, subject = record["id"], record["subject"]
    for kind, probes in record["portability"].items():
        need(kind in PORTABILITY_KINDS, name, f"unknown portability kind {kind!r}")
        need(bool(probes), name, f"no {kind} probe")
        for probe in probes:
            check_probe(name, probe["prompt"], probe["answers"])
            if kind == "subject_aliasing":
                need(subject not in probe["prompt"], name, "the aliased prompt has the subject")
            if kind == "inverse":
                need(mentions(probe["prompt"], record["target_new"]), name, "no new answer in it")


def check_record(record: Record) -> None:
    """Check one record on its own."""
    name = record["id"]
    need(list(record) == KEYS, name, "keys are missing, unknown or out of order")
    need(bool(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name)), name, "the id is malformed")
    need(record["split"] in SPLIT_MINIMUM, name, "unknown split")
    for text in strings(record):
        need(text == text.strip() and text != "", name, f"space around, or nothing in, {text!r}")
        need("  " not in text, name, f"a double space in {text!r}")
        need("{" not in text and "|" not in text, name, f"a template left over in {text!r}")
    for text in (p for p in strings(record) if " " in p):
        need(text[-1] not in "?!,;:", name, f"{text!r} ends in punctuation")
    check_targets(record)
    check_prompts(record)
    check_locality(record)
    check_portability(record)


def check_counts(records: Sequence[Record]) -> None:
    """Check how many facts there are of what."""
    if not TOTAL[0] <= len(records) <= TOTAL[1]:
        raise FactError(f"{len(records)} facts, not between {TOTAL[0]} and {TOTAL[1]}")
    twice = [key for key, times in Counter(r["id"] for r in records).items() if times > 1]
    if twice:
        raise FactError(f"ids used twice: {', '.join(twice)}")
    relations = Counter(r["id"].split("-")[0] for r in records)
    if not RELATION_COUNT[0] <= len(relations) <= RELATION_COUNT[1]:
        raise FactError(f"{len(relations)} relations")
    for relation, count in relations.items():
        if not PER_RELATION[0] <= count <= PER_RELATION[1]:
            raise FactError(f"relation {relation} has {count} facts")
        own = [r for r in records if r["id"].split("-")[0] == relation]
        if {r["split"] for r in own} != set(SPLIT_MINIMUM):
            raise FactError(f"relation {relation} is not in both splits")
        if len({r["target_new"] for r in own}) < len(own) / 2:
            raise FactError(f"relation {relation} reuses its new answers too much")
    for split, minimum in SPLIT_MINIMUM.items():
        if sum(r["split"] == split for r in records) < minimum:
            raise FactError(f"fewer than {minimum} facts in split {split}")
    unrelated = {p["prompt"] for r in records for p in r["locality"]["unrelated"]}
    if len(unrelated) < UNRELATED_MINIMUM:
        raise FactError(f"only {len(unrelated)} different unrelated probes")
    if sum(bool(r["portability"]) for r in records) < PORTABILITY_MINIMUM * len(records):
        raise FactError("too few facts with a portability probe")


def check_all(records: Sequence[Record]) -> None:
    """Raise a FactError for the first rule that is broken."""
    for record in records:
        check_record(record)
    check_counts(records)
