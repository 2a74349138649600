"""A document as files: the page or the markdown, and each figure alone."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from goldenlayers.disk import not_written
from goldenlayers.errors import SettingsError
from goldenlayers.files import write_whole
from goldenlayers.progress import Progress, silent
from goldenlayers.report.document.files import write_figures
from goldenlayers.report.document.parts import Document

HTML, MARKDOWN, FIGURES = "report.html", "report.md", "figures"


def write_report(
    document: Document,
    folder: Path,
    *,
    format: str = "html",
    only: Sequence[str] | None = None,
    figures: bool = True,
    progress: Progress = silent,
) -> list[Path]:
    """Write a document.

    Args:
        document: What is written.
        folder: Where; made if it is not there.
        format: "html" or "md". Markdown shows the pictures, so that they are always written.
        only: Names of items: their files alone are written, into `folder` itself.
        figures: Whether each figure and table is written alone as well.
        progress: Called with the figures drawn.

    Returns:
        The files; the page or the markdown first.

    Raises:
        SettingsError: If an item is unknown, or the page is wanted and plotly is missing.
        ResultError: If the folder cannot be written.
    """
    from goldenlayers.report.document.html import to_html
    from goldenlayers.report.document.markdown import to_markdown

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if only is not None:
            return _paths(write_figures(_of(document, only), folder, progress=progress))
        text = to_html(document) if format == "html" else ""  # before an hour of drawing
        made = {}
        if figures or format == "md":
            made = write_figures(document, folder / FIGURES, progress=progress)
        if format == "md":
            pictures = {
                key: path.relative_to(folder).as_posix()
                for key, paths in made.items() for path in paths if path.suffix == ".png"
            }  # fmt: skip
            text = to_markdown(document, pictures)
        name = HTML if format == "html" else MARKDOWN
        page = write_whole(
            folder / name, lambda path: path.write_text(text, encoding="utf-8", newline="\n")
        )
        return [page, *_paths(made)]
    except OSError as error:
        raise not_written(folder, error) from error


def _paths(made: dict[tuple[str, int], list[Path]]) -> list[Path]:
    return [path for paths in made.values() for path in paths]


def _of(document: Document, only: Sequence[str]) -> Document:
    known = [item.name for section in document.sections for item in section.items]
    for name in only:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            guess = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(f"{name!r} is none of {', '.join(known)}{guess}")
    sections = [
        replace(s, items=tuple(i for i in s.items if i.name in only), stories=())
        for s in document.sections
    ]
    return replace(document, sections=tuple(s for s in sections if s.items), card="")
