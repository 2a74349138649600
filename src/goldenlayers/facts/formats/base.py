"""What a file format is, and what turns its fields into a fact.

Texts are kept letter for letter. What a record cannot give is said: a field that is no fact costs
the record (`RecordError`), a probe that cannot be asked is left out with a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from goldenlayers.facts.fact import Fact, LocalityProbe, PortabilityProbe
from goldenlayers.facts.validate import RecordError, check_text, kind_of, short

Record = Mapping[str, Any]
DEEPEST = 10  # lists within lists of answers; published ones have two


@dataclass(frozen=True, slots=True)
class Built:
    """A fact made of a record, and what was left out or read otherwise."""

    fact: Fact
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        name: What `--format` takes.
        title: What the data set is called.
        required: Fields that every record has.
        marks: Fields of which a record has at least one; none where `required` tells it from all
            other formats.
        optional: Other fields that are read.
        build: Makes a fact of a record and its number in the file, from 0; raises `RecordError`.
        own_ids: Whether the records name the facts; else they are named by their numbers.
        strict: Whether one bad record makes the file an error: so for a user's own file, where it
            is a slip, and not for a published one, which nobody can mend.
    """

    name: str
    title: str
    required: tuple[str, ...]
    build: Callable[[Record, int], Built]
    marks: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    strict: bool = False
    own_ids: bool = False

    def fits(self, record: Record) -> bool:
        """Return whether a record has the fields of the format."""
        there = all(name in record for name in self.required)
        return there and (not self.marks or any(name in record for name in self.marks))

    @property
    def read(self) -> frozenset[str]:
        """Fields that have a say; all others are passed over, and counted."""
        return frozenset((*self.required, *self.marks, *self.optional))


@dataclass
class Notes:
    """Collects what is to be said about one record."""

    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Say something."""
        self.texts.append(text)


def required(record: Record, fmt: tuple[str, ...]) -> None:
    """Refuse a record that lacks a field.

    Raises:
        RecordError: If it does.
    """
    for name in fmt:
        if name not in record:
            raise RecordError(f"field '{name}' is missing; required are {', '.join(fmt)}")


def answers(value: object, name: str, depth: int = 0) -> tuple[str, ...]:
    """Return accepted answers: a text, a list of texts, or lists of aliases within a list.

    The order is kept, blank ones are dropped, and of equal ones the first is kept.

    Args:
        value: What the record has.
        name: Of the field.
        depth: Lists around it.

    Returns:
        The answers, none for null and for an empty list.

    Raises:
        RecordError: If there is anything but text and lists in it, or too many lists in lists.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (check_text(value, name),) if value.strip() else ()
    if isinstance(value, list):
        if depth == DEEPEST:
            raise RecordError(f"field '{name}': more than {DEEPEST} lists within lists")
        inner = (answers(item, f"{name}[{i}]", depth + 1) for i, item in enumerate(value))
        return tuple(dict.fromkeys(answer for found in inner for answer in found))
    raise RecordError(f"field '{name}' is {kind_of(value)}; expected text, or a list of answers")


def some_answers(value: object, name: str) -> tuple[str, ...]:
    """Return at least one answer.

    Raises:
        RecordError: If there is none.
    """
    found = answers(value, name)
    if not found:
        if isinstance(value, str) or (isinstance(value, list) and _holds_text(value)):
            raise RecordError(f"field '{name}': nothing is left of its answers but blanks")
        if isinstance(value, list):
            raise RecordError(f"field '{name}' is an empty answer list; expected an answer")
        raise RecordError(f"field '{name}' is {kind_of(value)}; expected an answer")
    return found


def texts(value: object, name: str) -> tuple[str, ...]:
    """Return prompts: a text or a list of texts; null is none.

    Raises:
        RecordError: If there is anything else, or a blank one.
    """
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(check_text(item, f"{name}[{i}]") for i, item in enumerate(value))
    return (check_text(value, name),)


def label(value: object, name: str) -> str:
    """Return an identifier: a text, or a number as text.

    Raises:
        RecordError: If it is anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return check_text(value, name)
    raise RecordError(f"field '{name}' is {kind_of(value)}; expected a number or text")


def subject_in(subject: str, prompt: str, notes: Notes) -> str:
    """Return the subject as it stands in the prompt.

    A subject that differs in upper and lower case only, or in blanks at its ends, is taken as the
    prompt spells it, with a note.

    Raises:
        RecordError: If it is not in the prompt.
    """
    if subject in prompt:
        return subject
    found = re.search(re.escape(subject.strip()), prompt, re.IGNORECASE)
    if found is None:
        raise RecordError(
            f"the subject {short(subject)!r} is not in the prompt {short(prompt)!r}, and an edit "
            "needs to know where it stands"
        )
    notes.add(f"the subject {short(subject)!r} is taken as the prompt has it, {found[0]!r}")
    return found[0]


def filled(template: str, subject: str, name: str) -> str:
    """Return a template with the subject in place of each "{}".

    Raises:
        RecordError: If the template has no "{}".
    """
    if "{}" not in template:
        raise RecordError(
            f"field '{name}' is {short(template)!r}; expected '{{}}' where the subject belongs"
        )
    return template.replace("{}", subject)


def locality(
    value: object, name: str, notes: Notes, *, answer: str = "ground_truth"
) -> Mapping[str, tuple[LocalityProbe, ...]]:
    """Return the locality probes of {kind: [{prompt, answer}]}; one without an answer stays.

    Raises:
        RecordError: If it is anything else.
    """

    def build(prompt: str, found: tuple[str, ...], where: str) -> LocalityProbe:
        return LocalityProbe(prompt, found[0] if found else None, found[1:])

    return _by_kind(value, name, notes, answer, build)


def portability(
    value: object, name: str, notes: Notes, *, answer: str = "ground_truth"
) -> Mapping[str, tuple[PortabilityProbe, ...]]:
    """Return the portability probes of {kind: [{prompt, answer}]}; one without answer is left out.

    Raises:
        RecordError: If it is anything else.
    """

    def build(prompt: str, found: tuple[str, ...], where: str) -> PortabilityProbe | None:
        if not found:
            notes.add(f"'{where}' has no answer and is left out")
            return None
        return PortabilityProbe(prompt, found)

    return _by_kind(value, name, notes, answer, build)


def _by_kind(
    value: object,
    name: str,
    notes: Notes,
    answer: str,
    build: Callable[[str, tuple[str, ...], str], Any],
) -> Mapping[str, tuple[Any, ...]]:
    if value is None:
        return MappingProxyType({})
    if not isinstance(value, dict):
        raise RecordError(f"field '{name}' is {kind_of(value)}; expected lists of probes by kind")
    out: dict[str, tuple[Any, ...]] = {}
    for kind, items in value.items():
        check_text(kind, f"{name}.{short(kind)}")
        where = f"{name}.{short(kind)}"
        if items is not None and not isinstance(items, list):
            raise RecordError(f"field '{where}' is {kind_of(items)}; expected a list of probes")
        probes = []
        for i, item in enumerate(items or ()):
            at = f"{where}[{i}]"
            if not isinstance(item, dict):
                raise RecordError(
                    f"field '{at}' is {kind_of(item)}; expected a prompt and an answer"
                )
            prompt = item.get("prompt")
            if isinstance(prompt, str) and not prompt.strip():
                notes.add(f"'{at}' has a blank prompt and is left out")
                continue
            found = answers(item.get(answer), f"{at}.{answer}")
            probe = build(check_text(prompt, f"{at}.prompt"), found, at)
            if probe is not None:
                probes.append(probe)
        if probes:  # a kind without probes is none
            out[kind] = tuple(probes)
    return MappingProxyType(out)


def _holds_text(value: list[Any]) -> bool:
    return any(isinstance(v, str) or (isinstance(v, list) and _holds_text(v)) for v in value)
