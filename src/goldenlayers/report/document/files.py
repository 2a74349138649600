"""A document's pictures and tables as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from goldenlayers.disk import not_written
from goldenlayers.errors import SettingsError
from goldenlayers.files import write_whole
from goldenlayers.progress import Progress, silent
from goldenlayers.report.document.names import file_names, view_title
from goldenlayers.report.document.parts import Cell, Document, Table
from goldenlayers.report.document.plots import Plot
from goldenlayers.report.document.static import draw_static
from goldenlayers.report.document.text import for_sheet

FORMATS = ("png", "svg", "pdf")


def write_figures(
    document: Document,
    folder: Path,
    formats: Sequence[str] = ("png", "svg"),
    *,
    progress: Progress = silent,
) -> dict[tuple[str, int], list[Path]]:
    """Write every view of every item: its picture, and the data behind it.

    Args:
        document: What is written.
        folder: Where to; made if it is not there. Files of the same names are replaced.
        formats: Of the pictures: "png", "svg", "pdf". Each view has a "csv" besides.
        progress: Called with the views that are written.

    Returns:
        The files of each view, by item and number of the view; the table comes last.

    Raises:
        SettingsError: If a format is unknown.
        ResultError: If the folder cannot be written.
    """
    unknown = [format for format in formats if format not in FORMATS]
    if unknown:
        raise SettingsError(f"pictures as {unknown[0]!r}: there are {', '.join(FORMATS)}")
    names = file_names(document)
    written: dict[tuple[str, int], list[Path]] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for section in document.sections:
            for item in section.items:
                for i, view in enumerate(item.views):
                    name = names[item.name, i]
                    progress("figures", len(written), len(names))
                    files = written[item.name, i] = []
                    if view.plot is not None:
                        draw = partial(_draw, view.plot, view_title(item.title, view.choice))
                        for format in formats:
                            files.append(write_whole(folder / f"{name}.{format}", draw))
                    table = partial(_table, table=view.table)
                    files.append(write_whole(folder / f"{name}.csv", table))
        progress("figures", len(written), len(names))
    except OSError as error:
        raise not_written(folder, error) from error
    return written


def _draw(plot: Plot, title: str, path: Path) -> None:
    draw_static(plot, title, path)


def _table(path: Path, table: Table) -> None:
    path.write_text(to_csv(table), encoding="utf-8", errors="backslashreplace", newline="")


def to_csv(table: Table) -> str:
    """Return a table as comma-separated values, numbers in full, None as nothing.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([for_sheet(name) for name in table.columns])
    writer.writerows([_cell(value) for value in row] for row in table.rows)
    return text.getvalue()


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return for_sheet(value) if isinstance(value, str) else repr(value)
