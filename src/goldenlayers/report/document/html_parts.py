"""Tables and texts of the page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from goldenlayers.report.document.look import written
from goldenlayers.report.document.parts import Cell, Change, Story, Table
from goldenlayers.report.document.plots import Format
from goldenlayers.report.document.text import for_html

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_ALIKE = 0.35  # below this share of equal words, two texts have nothing to do with one another
_MOST_WORDS = 1500  # the comparison takes the square of it


def table_html(table: Table, label: str) -> str:
    """Return a table that scrolls by itself.

    A number has its whole value in `data-v`, for sorting and for files. None has the class "none".

    Args:
        table: What is shown.
        label: What it is, for those who do not see it.
    """
    numbers = [any(_is_number(row[i]) for row in table.rows) for i in range(len(table.columns))]
    head = "".join(
        f'<th scope="col"{_class("n" if n else "")}>{for_html(name)}</th>'
        for name, n in zip(table.columns, numbers, strict=True)
    )
    formats = [table.formats.get(name, "number") for name in table.columns]
    body = "".join(
        f"<tr>{''.join(_cell(v, f, n) for v, f, n in zip(row, formats, numbers, strict=True))}</tr>"
        for row in table.rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{for_html(label)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _is_number(value: Cell) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _cell(value: Cell, format: Format, numbers: bool) -> str:
    shown = for_html(written(value, format))
    right = "n" if numbers else ""
    if value is None:
        return f"<td{_class(f'{right} none'.strip())}>{shown}</td>"
    if isinstance(value, bool):
        return f'<td data-v="{"true" if value else "false"}"{_class(right)}>{shown}</td>'
    if isinstance(value, str):
        return f"<td{_class('long' if len(value) > 60 else '')}>{shown}</td>"
    full = repr(value) if math.isfinite(value) else "NaN" if math.isnan(value) else (
        "Infinity" if value > 0 else "-Infinity")  # fmt: skip
    return f'<td class="n" data-v="{full}">{shown}</td>'


def stories(found: Sequence[Story]) -> Iterator[str]:
    """Yield a card for each story."""
    for story in found:
        facts = "".join(
            f"<div><dt>{for_html(k)}</dt><dd>{for_html(v)}</dd></div>" for k, v in story.facts
        )
        yield f'<article class="story"><h3>{for_html(story.title)}</h3>'
        if facts:
            yield f'<dl class="facts">{facts}</dl>'
        yield from (_change(change) for change in story.changes)
        yield "</article>"


def _change(change: Change) -> str:
    same = change.before == change.after
    before, after = compared(change.before, change.after)
    wanted = (
        f'<p class="wanted">wanted: <b>{for_html(change.wanted)}</b></p>' if change.wanted else ""
    )
    said = (
        f'<div class="said"><span>before and after</span><p>{after}</p></div>'
        if same
        else f'<div class="said"><span>before</span><p>{before}</p></div>'
        f'<div class="said"><span>after</span><p>{after}</p></div>'
    )
    state = "unchanged" if same else "changed"
    return (
        f'<div class="change"><p class="kind">{for_html(change.kind)} '
        f'<span class="state">{state}</span></p>'
        f'<p class="prompt">{for_html(change.prompt)}</p>{wanted}{said}</div>'
    )


def compared(before: str, after: str) -> tuple[str, str]:
    """Return both as HTML, words that the other one lacks in `del` and in `ins`."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    nothing = '<i class="nothing">(nothing)</i>'
    if len(old) > _MOST_WORDS or len(new) > _MOST_WORDS:
        return for_html(before) or nothing, for_html(after) or nothing
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    steps = matcher.get_opcodes()
    if steps and matcher.ratio() < _ALIKE:  # what is alike by chance is no help to a reader
        steps = [("replace", 0, len(old), 0, len(new))]
    left, right = [], []
    for kind, a, b, c, d in steps:
        gone, come = for_html("".join(old[a:b])), for_html("".join(new[c:d]))
        if kind == "equal":
            left.append(gone)
            right.append(come)
        else:
            left.append(f"<del>{gone}</del>" if gone else "")
            right.append(f"<ins>{come}</ins>" if come else "")
    return "".join(left) or nothing, "".join(right) or nothing
