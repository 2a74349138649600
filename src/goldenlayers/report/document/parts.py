"""What a document is made of. Plain values: nothing here knows HTML, matplotlib or a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from goldenlayers.report.document.plots import Format, Plot

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """Rows under columns.

    Attributes:
        columns: Their names.
        rows: One cell per column; None is shown as a dash. Numbers stay numbers.
        formats: By column, how its numbers are written for people. Files get them in full.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    formats: Mapping[str, Format] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """One state of a figure's or table's switches.

    Attributes:
        choice: By switch the value: {"model": "...", "data set": "zsre", "score": "rewrite"}. All
            views of one item have the same switches in the same order; without switches there is
            one view. Not every combination needs to exist.
        table: The data behind it, whole; of a table, the table.
        plot: What is drawn; None for a table.
        note: Beneath: how many facts, how long, which command.
    """

    choice: Mapping[str, str]
    table: Table
    plot: Plot | None = None
    note: str = ""


@dataclass(frozen=True)
class Item:
    """A figure or a table.

    Attributes:
        name: Of its files and its anchor: lower case, digits and hyphens.
        title: What it is.
        says: A sentence or three: what is shown, and how to read it.
        views: At least one.
    """

    name: str
    title: str
    says: str
    views: tuple[View, ...]


@dataclass(frozen=True)
class Change:
    """What a model said before an edit, and after.

    Attributes:
        kind: Such as "the edit", "a rephrasing", "another subject".
        prompt: What it was asked.
        wanted: What it should say after the edit; "" where it should say what it said before.
        before: Its continuation before.
        after: And after.
    """

    kind: str
    prompt: str
    wanted: str
    before: str
    after: str


@dataclass(frozen=True)
class Story:
    """One edit, told by texts.

    Attributes:
        title: Such as "best: France, The capital of France is → Lyon".
        facts: Label and value: editor, layer, scores.
        changes: The texts.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Section:
    """Items under a heading."""

    name: str
    title: str
    says: str = ""
    items: tuple[Item, ...] = ()
    stories: tuple[Story, ...] = ()


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: Of the whole.
        summary: Label and value: models, data sets, facts, edits, hours, the command.
        findings: Sentences that a reader in a hurry wants.
        sections: In order.
        card: Markdown that can be copied into a model card; "" for none.
    """

    title: str
    summary: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]
    sections: tuple[Section, ...]
    card: str = ""

    def __post_init__(self) -> None:
        names = [item.name for section in self.sections for item in section.items]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"items need names of their own; more than one is called {twice}")
