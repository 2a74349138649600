"""Is every text of a fact letter for letter in its record? And: records as bytes, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from goldenlayers.facts import Fact
from tests.facts.records import IDS, Record

DAMAGED = object()  # stands where a line of JSON Lines is no JSON


def texts_of(value: object) -> set[str]:
    """Return every text in a decoded record, and the names of its fields."""
    if isinstance(value, dict):
        return set(value).union(*map(texts_of, value.values()))
    if isinstance(value, list):
        return set().union(*map(texts_of, value))
    return {value} if isinstance(value, str) else set()


def texts_of_fact(fact: Fact) -> Iterator[str]:
    """Yield every text of a fact but its identifier and its subject."""
    yield from (fact.prompt, fact.target_new, *fact.aliases, *fact.rephrase_prompts)
    if fact.target_old is not None:
        yield fact.target_old
    for kind, near in fact.locality.items():
        yield kind
        for probe in near:
            yield from (probe.prompt, *probe.aliases)
            if probe.answer is not None:
                yield probe.answer
    for kind, far in fact.portability.items():
        yield kind
        for probe in far:
            yield from (probe.prompt, *probe.answers)


def strangers(fact: Fact, record: Record, name: str, number: int) -> set[str]:
    """Return the texts of a fact that are not in its record, a record of the format `name`.

    The subject must stand in the prompt as it is, and in the record but for upper and lower case;
    CounterFact's prompt must be its template, filled, and its neighbourhood has a kind of ours.
    """
    there = texts_of(record)
    found = set(texts_of_fact(fact)) - there
    if name.startswith("counterfact"):
        found.discard("neighborhood")
    if name == "counterfact":
        rewrite = record["requested_rewrite"]
        if fact.prompt == rewrite["prompt"].replace("{}", rewrite["subject"]):
            found.discard(fact.prompt)
    same = (re.fullmatch(re.escape(t.strip()), fact.subject, re.IGNORECASE) for t in there)
    if fact.subject not in fact.prompt or not (fact.subject in there or any(same)):
        found.add(fact.subject)
    if fact.id != (str(record[IDS[name]]) if name in IDS else f"{name}-{number}"):
        found.add(fact.id)
    return found


def decoded(data: bytes) -> tuple[list[object], bool]:
    """Return what Python's json makes of a file's records, and whether the end was reached.

    Of JSON Lines, a line that is no JSON is `DAMAGED`; of a list, those before any damage.
    """
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    start = text.strip(" \t\r\n")
    if not start.startswith("[") or start[1:].lstrip(" \t\r\n").startswith("["):
        return [_loads(line) for line in text.split("\n") if line.strip(" \t\r\n\v\f")], True
    out: list[object] = []
    at = 1
    while True:
        at += len(start[at:]) - len(start[at:].lstrip(" \t\r\n"))
        if start[at : at + 1] == "]":
            return out, at + 1 == len(start)
        if out:
            if start[at : at + 1] != ",":
                return out, False
            at += 1
            at += len(start[at:]) - len(start[at:].lstrip(" \t\r\n"))
        try:
            value, at = json.JSONDecoder().raw_decode(start, at)
        except (ValueError, RecursionError):
            return out, False
        out.append(value)


def _loads(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return DAMAGED


def as_list(records: list[Record], indent: int | None = 1) -> bytes:
    return json.dumps(records, ensure_ascii=False, indent=indent).encode()


def as_lines(records: list[Record]) -> bytes:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode()
