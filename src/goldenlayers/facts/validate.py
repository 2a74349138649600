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
            f"found {_kind(record)} where a record was expected; "
            'a record is a JSON object like {"id": ..., "subject": ..., "prompt": ...}'
        )
    for name in record:
        if name not in FIELDS:
            close = difflib.get_close_matches(str(name), FIELDS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"fields are {', '.join(FIELDS)}"
            raise RecordError(f"field '{_short(name)}' is unknown; {hint}")
    for name in REQUIRED:
        if name not in record:
            raise RecordError(f"field '{name}' is missing; required are {', '.join(REQUIRED)}")

    subject = _text(record["subject"], "subject")
    prompt = _text(record["prompt"], "prompt")
    if subject not in prompt:
        same_but_case = subject.casefold() in prompt.casefold()
        why = "it differs in upper and lower case" if same_but_case else "it must occur in it"
        raise RecordError(
            f"field 'prompt': the subject {_short(subject)!r} is not in the prompt "
            f"{_short(prompt)!r}; {why}, letter for letter"
        )
    old = record.get("target_old")
    split = record.get("split")
    if split is not None and split not in SPLITS:
        raise RecordError(f"field 'split' is {_short(split)!r}; expected 'proxy', 'test' or null")
    return Fact(
        id=_text(record["id"], "id"),
        subject=subject,
        prompt=prompt,
        target_new=_text(record["target_new"], "target_new"),
        target_old=None if old is None else _text(old, "target_old"),
        aliases=_texts(record.get("aliases", []), "aliases"),
        rephrase_prompts=_texts(record.get("rephrase_prompts", []), "rephrase_prompts"),
        locality=_probes(record.get("locality", {}), "locality", _locality),
        portability=_probes(record.get("portability", {}), "portability", _portability),
        split=split,
    )


def _locality(value: Mapping[str, Any], where: str) -> LocalityProbe:
    _only(value, where, ("prompt", "answer"))
    answer = value.get("answer")
    return LocalityProbe(
        prompt=_text(value.get("prompt"), f"{where}.prompt"),
        answer=None if answer is None else _text(answer, f"{where}.answer"),
    )


def _portability(value: Mapping[str, Any], where: str) -> PortabilityProbe:
    _only(value, where, ("prompt", "answers"))
    answers = _texts(value.get("answers"), f"{where}.answers")
    if not answers:
        raise RecordError(f"field '{where}.answers' is empty; a probe needs at least one answer")
    return PortabilityProbe(prompt=_text(value.get("prompt"), f"{where}.prompt"), answers=answers)


def _probes(
    value: object, name: str, build: Callable[[Mapping[str, Any], str], P]
) -> Mapping[str, tuple[P, ...]]:
    if not isinstance(value, dict):
        raise RecordError(f"field '{name}' is {_kind(value)}; expected an object of lists by kind")
    out: dict[str, tuple[P, ...]] = {}
    for kind, items in value.items():
        _text(kind, f"{name}.{_short(kind)}")
        if not isinstance(items, list):
            raise RecordError(f"field '{name}.{kind}' is {_kind(items)}; expected a list")
        probes = []
        for i, item in enumerate(items):
            where = f"{name}.{kind}[{i}]"
            if not isinstance(item, dict):
                raise RecordError(f"field '{where}' is {_kind(item)}; expected an object")
            probes.append(build(item, where))
        out[kind] = tuple(probes)
    return MappingProxyType(out)


def _only(value: Mapping[str, Any], where: str, allowed: tuple[str, ...]) -> None:
    for name in value:
        if name not in allowed:
            raise RecordError(
                f"field '{where}.{_short(name)}' is unknown; expected {' and '.join(allowed)}"
            )


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise RecordError(f"field '{name}' is {_kind(value)}; expected text")
    if not value.strip():
        raise RecordError(f"field '{name}' is empty; expected text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        # JSON's \ud800 escapes can smuggle in half a character that no tokenizer accepts
        raise RecordError(f"field '{name}' holds half a surrogate pair; not valid text") from None
    return value


def _texts(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise RecordError(f"field '{name}' is {_kind(value)}; expected a list of texts")
    return tuple(_text(item, f"{name}[{i}]") for i, item in enumerate(value))


def _kind(value: object) -> str:
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


def _short(value: object, width: int = 60) -> str:
    text = str(value).encode("utf-8", "backslashreplace").decode()  # must be fit to print
    return text if len(text) <= width else text[: width - 1] + "…"
