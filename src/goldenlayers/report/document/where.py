"""Some views of a document: those of one score, one data set, one model."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from goldenlayers.errors import SettingsError
from goldenlayers.report.document.parts import Document, Item


def asked_for(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return switches and values of texts such as "score=mean".

    Raises:
        SettingsError: If a text has no such form.
    """
    found = []
    for text in texts:
        switch, equals, value = text.partition("=")
        if not equals or not switch.strip() or not value.strip():
            raise SettingsError(f"--where {text!r}: expected SWITCH=VALUE, such as score=mean")
        found.append((switch.strip(), value.strip()))
    return found


def where(document: Document, wanted: Sequence[tuple[str, str]]) -> Document:
    """Keep the views of some values of the switches.

    An item that does not have a switch, or none of the values asked for, keeps all of its views. Of
    several values of one switch each item takes the first that it has.

    Args:
        document: The document; figures and tables keep their names.
        wanted: Switches and values, in the order in which they are preferred.

    Raises:
        SettingsError: If no item has such a switch, or such a value of it.
    """
    items = [item for section in document.sections for item in section.items]
    values: dict[str, dict[str, None]] = {}
    for item in items:
        for view in item.views:
            for switch, value in view.choice.items():
                values.setdefault(switch, {})[value] = None
    for switch, value in wanted:
        _require(switch, list(values), f"--where {switch}={value}: switch")
        _require(value, list(values[switch]), f"--where {switch}={value}: {switch}")
    sections = tuple(
        replace(s, items=tuple(_kept(item, wanted) for item in s.items)) for s in document.sections
    )
    return replace(document, sections=sections)


def without_stories(document: Document) -> Document:
    """Leave out what the model said before and after single edits."""
    sections = (replace(section, stories=()) for section in document.sections)
    return replace(document, sections=tuple(s for s in sections if s.items))


def _kept(item: Item, wanted: Sequence[tuple[str, str]]) -> Item:
    for switch in dict.fromkeys(name for name, _ in wanted):
        for value in (v for name, v in wanted if name == switch):
            kept = tuple(view for view in item.views if view.choice.get(switch) == value)
            if kept:
                item = replace(item, views=kept)
                break
    return item


def _require(name: str, known: Sequence[str], what: str) -> None:
    if name in known:
        return
    close = difflib.get_close_matches(name, known, 1)
    guess = f"; did you mean {close[0]}?" if close else ""
    raise SettingsError(f"{what} {name!r} is unknown{guess} (there are {', '.join(known)})")
