"""`golden-layers report`: figures, tables and one page of what a study found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from goldenlayers.cli import console, options
from goldenlayers.errors import SettingsError

FORMATS = ("html", "md")


def command(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder that golden-layers study wrote.")
    ],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="html: one page that needs nothing else; md: for a repository.",
            rich_help_panel=options.RESULT,
        ),
    ] = "html",
    only: Annotated[
        str | None,
        typer.Option(
            help="Names of figures and tables, with commas: write these alone (PNG, SVG, CSV).",
            rich_help_panel=options.RESULT,
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SWITCH=VALUE",
            help="Only these views of the figures, such as score=mean or 'data set=zsre'. Given "
            "more than once for one switch, a figure takes the first that it has.",
            rich_help_panel=options.RESULT,
        ),
    ] = None,
    texts: Annotated[
        bool,
        typer.Option(
            help="Tell what the model said before and after the best and worst edits. Without, for "
            "data whose texts are not to be handed around.",
            rich_help_panel=options.RESULT,
        ),
    ] = True,
    figures: Annotated[
        bool,
        typer.Option(
            help="Write every figure and table as PNG, SVG and CSV too.",
            rich_help_panel=options.RESULT,
        ),
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the report; RUN/report if not given.",
            rich_help_panel=options.RESULT,
        ),
    ] = None,
) -> None:
    """Make figures, tables and a page of a study. No model is needed.

    The page is one file: it opens offline, on a phone too, and lets a reader switch score, data set
    and model, hover over a layer, sort tables, and download what is behind each figure. Every
    figure and table also comes alone, as PNG, SVG and CSV. The same study gives the same files.

    Try:

      golden-layers report my-study

      golden-layers report my-study --format md --out docs/my-study

      golden-layers report my-study --only deviation-by-layer,scores

      golden-layers report my-study --format md --where score=mean --where "data set=all"
    """
    out = out if out is not None else run / "report"
    options.check_out(out)
    if format not in FORMATS:
        raise SettingsError(f"--format {format!r}: expected {' or '.join(FORMATS)}")
    with console.working("starting"):
        from goldenlayers.report.document.report_files import write_report
        from goldenlayers.report.document.where import asked_for, without_stories
        from goldenlayers.report.document.where import where as views_where
        from goldenlayers.report.figures.document import read_document
    with console.working(f"reading {run}"):
        document = read_document(run)
        document = views_where(document, asked_for(where or []))
        if not texts:
            document = without_stories(document)
    names = None if only is None else [n.strip() for n in only.split(",") if n.strip()]
    with console.StageProgress() as progress:
        written = write_report(
            document, out, format=format, only=names, figures=figures, progress=progress
        )
    for path in written[:1] if only is None else written:
        console.line(f"[dim]written[/] {escape(str(path))}")
    if only is None and len(written) > 1:
        console.line(f"[dim]written[/] {len(written) - 1} files in {escape(str(out / 'figures'))}")
