"""Names of the files of a document, safe on every file system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from goldenlayers.report.document.parts import Document

_LONGEST = 72  # characters of what users' text gives to a name


def slug(text: str) -> str:
    """Return text as lower case letters, digits and single hyphens; "" if nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower())[:_LONGEST].strip("-")


def file_names(document: Document) -> Mapping[tuple[str, int], str]:
    """Return by item and number of the view how its files are called, without suffix.

    They are called as the item, two hyphens and the values of the switches. Where two would be
    called the same, the later one gets a number.
    """
    names: dict[tuple[str, int], str] = {}
    taken: set[str] = set()
    for section in document.sections:
        for item in section.items:
            for i, view in enumerate(item.views):
                name = slug(item.name) or "item"
                if view.choice:
                    values = "-".join(part for v in view.choice.values() if (part := slug(v)))
                    name += f"--{values[:_LONGEST].strip('-') or 'view'}"
                free, n = name, 1
                while free in taken:
                    n += 1
                    free = f"{name}-{n}"
                taken.add(free)
                names[item.name, i] = free
    return names


def view_title(title: str, choice: Mapping[str, str]) -> str:
    """Return the title of one view: the item's, and what its switches say."""
    said = (v if any(c.isalpha() for c in v) else f"{k} {v}" for k, v in choice.items())
    return " · ".join([title, *said])
