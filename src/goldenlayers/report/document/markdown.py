"""A document as markdown, for a repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from goldenlayers.report.document.look import written
from goldenlayers.report.document.parts import Change, Document, Item, Story, Table, View
from goldenlayers.report.document.text import for_markdown
from goldenlayers.report.printable import spelt

LONG = 12
"""A table of a figure with more rows than this is folded away."""


def to_markdown(document: Document, pictures: Mapping[tuple[str, int], str]) -> str:
    """Return a document as markdown: pictures, tables, texts.

    Args:
        document: What is told.
        pictures: By item and number of the view the path of its picture, from where the markdown
            lies; views that have none are told by their tables alone.

    Returns:
        Markdown as GitHub reads it. Users' text is text in it: no markup, no HTML.
    """
    return "\n".join(_lines(document, pictures)).rstrip() + "\n"


def _lines(document: Document, pictures: Mapping[tuple[str, int], str]) -> Iterator[str]:
    yield f"# {for_markdown(document.title)}"
    yield ""
    yield from (f"- {for_markdown(finding)}" for finding in document.findings)
    if document.summary:
        yield from ("", "| | |", "| --- | --- |")
        yield from (f"| {for_markdown(k)} | {for_markdown(v)} |" for k, v in document.summary)
    for section in document.sections:
        yield from ("", f"## {for_markdown(section.title)}", "")
        if section.says:
            yield from (for_markdown(section.says), "")
        for item in section.items:
            yield from _item(item, pictures)
        for story in section.stories:
            yield from _story(story)
    if document.card:
        yield from ("", "## For the model card", "", *_fenced(document.card, "markdown"))


def _item(item: Item, pictures: Mapping[tuple[str, int], str]) -> Iterator[str]:
    yield from (f"### {for_markdown(item.title)}", "")
    if item.says:
        yield from (for_markdown(item.says), "")
    for i, view in enumerate(item.views):
        yield from _view(item, view, pictures.get((item.name, i)))


def _view(item: Item, view: View, picture: str | None) -> Iterator[str]:
    said = ", ".join(f"{k}: {v}" for k, v in view.choice.items())
    if said:
        yield from (f"**{for_markdown(said)}**", "")
    if picture is not None:
        about = for_markdown(f"{item.title}, {said}" if said else item.title)
        yield from (f"![{about}]({quote(picture)})", "")
    if view.note:
        yield from (f"{for_markdown(view.note)}", "")
    folded = view.plot is not None and len(view.table.rows) > LONG
    if folded:
        yield from (f"<details><summary>The data: {len(view.table.rows)} rows</summary>", "")
    yield from _table(view.table)
    yield from (("", "</details>", "") if folded else ("",))


def _table(table: Table) -> Iterator[str]:
    numbers = [
        any(isinstance(row[i], int | float) and not isinstance(row[i], bool) for row in table.rows)
        for i in range(len(table.columns))
    ]
    yield _row(table.columns)
    yield _row(["---:" if n else "---" for n in numbers], escape=False)
    for row in table.rows:
        yield _row(
            [
                written(v, table.formats.get(c, "number"))
                for c, v in zip(table.columns, row, strict=True)
            ]
        )


def _row(cells: list[str] | tuple[str, ...], escape: bool = True) -> str:
    return "| " + " | ".join(for_markdown(c) if escape else c for c in cells) + " |"


def _story(story: Story) -> Iterator[str]:
    yield from (f"### {for_markdown(story.title)}", "")
    if story.facts:
        yield from (", ".join(f"{for_markdown(k)} {for_markdown(v)}" for k, v in story.facts), "")
    for change in story.changes:
        yield from _change(change)


def _change(change: Change) -> Iterator[str]:
    wanted = f" (wanted: {for_markdown(change.wanted)})" if change.wanted else ""
    yield f"**{for_markdown(change.kind)}**: {for_markdown(change.prompt)}{wanted}"
    yield ""
    if change.before == change.after:
        yield from (f"- before and after: {_said(change.after)}", "")
        return
    yield from (f"- before: {_said(change.before)}", f"- after: {_said(change.after)}", "")


def _said(text: str) -> str:
    return for_markdown(text) or "*(nothing)*"


def _fenced(text: str, language: str) -> Iterator[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    yield f"{fence}{language}"
    yield from spelt(text).rstrip("\n").split("\n")
    yield fence
