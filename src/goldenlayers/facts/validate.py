"""From a decoded record of our own format to a `Fact`, or to one sentence that says why not.

The messages name the field; the reader that calls puts file and line in front. Nothing is repaired
silently: what is accepted is kept letter for letter.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from goldenlayers.facts.fact import Fact, LocalityProbe, PortabilityProbe

FIELDS = (
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
)
REQUIRED = ("id", "subject", "prompt", "target_new")
SPLITS = ("proxy", "test")

P = TypeVar("P", LocalityProbe, PortabilityProbe)


class RecordError(ValueError):
    """A record is not a fact; the message names the field, `str(error)` is one sentence."""


class DamagedFileError(RecordError):
    """The file is damaged here in a way that its other records, or those after, may be lost."""


class CutLineError(DamagedFileError):
    """The file's last line is no record, and may be the beginning of one."""


def fact_from_record(record: object) -> Fact:
    """Validate one decoded record.

    Args:
        record: What the JSON line decoded to; an object with the fields of `FIELDS`.

    Returns:
        The fact, every text exactly as in the record.

    Raises:
        RecordError: Naming the first field that is missing, unknown, of the wrong type, or empty.
    """
    if not isinstance(record, dict):
        raise RecordError(
            f"found {kind_of(record)} where a record was expected; "
            'a record is a JSON object like {"id": ..., "subject": ..., "prompt": ...}'
        )
    for name in record:
        if name not in FIELDS:
            close = difflib.get_close_matches(short(name), FIELDS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"fields are {', '.join(FIELDS)}"
            raise RecordError(f"field '{short(name)}' is unknown; {hint}")
    for name in REQUIRED:
        if name not in record:
            raise RecordError(f"field '{name}' is missing; required are {', '.join(REQUIRED)}")

    subject = check_text(record["subject"], "subject")
    prompt = check_text(record["prompt"], "prompt")
    if subject not in prompt:
        same_but_case = subject.casefold() in prompt.casefold()
        why = "it differs in upper and lower case" if same_but_case else "it must occur in it"
        raise RecordError(
            f"field 'prompt': the subject {short(subject)!r} is not in the prompt "
            f"{short(prompt)!r}; {why}, letter for letter"
        )
    old = record.get("target_old")
    split = record.get("split")
    if split is not None and split not in SPLITS:
        found = kind_of(split) if isinstance(split, list | dict) else repr(short(split))
        raise RecordError(f"field 'split' is {found}; expected 'proxy', 'test' or null")
    return Fact(
        id=check_text(record["id"], "id"),
        subject=subject,
        prompt=prompt,
        target_new=check_text(record["target_new"], "target_new"),
        target_old=None if old is None else check_text(old, "target_old"),
        aliases=check_texts(record.get("aliases", []), "aliases"),
        rephrase_prompts=check_texts(record.get("rephrase_prompts", []), "rephrase_prompts"),
        locality=_probes(record.get("locality", {}), "locality", _locality),
        portability=_probes(record.get("portability", {}), "portability", _portability),
        split=split,
    )


def _locality(value: Mapping[str, Any], where: str) -> LocalityProbe:
    _only(value, where, ("prompt", "answer", "aliases"))
    answer = value.get("answer")
    return LocalityProbe(
        prompt=check_text(value.get("prompt"), f"{where}.prompt"),
        answer=None if answer is None else check_text(answer, f"{where}.answer"),
        aliases=check_texts(value.get("aliases", []), f"{where}.aliases"),
    )


def _portability(value: Mapping[str, Any], where: str) -> PortabilityProbe:
    _only(value, where, ("prompt", "answers"))
    answers = check_texts(value.get("answers"), f"{where}.answers")
    if not answers:
        raise RecordError(f"field '{where}.answers' is empty; a probe needs at least one answer")
    return PortabilityProbe(
        prompt=check_text(value.get("prompt"), f"{where}.prompt"), answers=answers
    )


def _probes(
    value: object, name: str, build: Callable[[Mapping[str, Any], str], P]
) -> Mapping[str, tuple[P, ...]]:
    if not isinstance(value, dict):
        raise RecordError(
            f"field '{name}' is {kind_of(value)}; expected an object of lists by kind"
        )
    out: dict[str, tuple[P, ...]] = {}
    for kind, items in value.items():
        check_text(kind, f"{name}.{short(kind)}")
        if not isinstance(items, list):
            raise RecordError(f"field '{name}.{kind}' is {kind_of(items)}; expected a list")
        probes = []
        for i, item in enumerate(items):
            where = f"{name}.{kind}[{i}]"
            if not isinstance(item, dict):
                raise RecordError(f"field '{where}' is {kind_of(item)}; expected an object")
            probes.append(build(item, where))
        out[kind] = tuple(probes)
    return MappingProxyType(out)


def _only(value: Mapping[str, Any], where: str, allowed: tuple[str, ...]) -> None:
    for name in value:
        if name not in allowed:
            raise RecordError(
                f"field '{where}.{short(name)}' is unknown; expected {', '.join(allowed)}"
            )


def check_text(value: object, name: str) -> str:
    """Return a text that is not blank, as it is.

    Raises:
        RecordError: If it is anything else.
    """
    if not isinstance(value, str):
        raise RecordError(f"field '{name}' is {kind_of(value)}; expected text")
    if not value.strip():
        raise RecordError(f"field '{name}' is empty; expected text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        # JSON's \ud800 escapes can smuggle in half a character that no tokenizer accepts
        raise RecordError(f"field '{name}' holds half a surrogate pair; not valid text") from None
    return value


def check_texts(value: object, name: str) -> tuple[str, ...]:
    """Return a list of texts as it is.

    Raises:
        RecordError: If it is anything else.
    """
    if not isinstance(value, list):
        raise RecordError(f"field '{name}' is {kind_of(value)}; expected a list of texts")
    return tuple(check_text(item, f"{name}[{i}]") for i, item in enumerate(value))


def kind_of(value: object) -> str:
    """Return what a decoded value is, in words."""
    names: dict[type, str] = {
        type(None): "null",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)


def printable(text: str) -> str:
    """Return a message in which what would move the cursor or turn the text is spelled out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def short(value: object, width: int = 60) -> str:
    """Return a value as text that is short and fit to print."""
    text = str(value).encode("utf-8", "backslashreplace").decode()  # must be fit to print
    return text if len(text) <= width else text[: width - 1] + "…"
