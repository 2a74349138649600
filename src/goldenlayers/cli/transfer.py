"""`golden-layers transfer`: layers chosen on one data set, judged on others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from goldenlayers.cli import console, options


def command(
    comparisons: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...",
            help="Folders that golden-layers compare wrote, one per data set, of one model; the "
            "name of a folder is the name of its data set.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the result.", rich_help_panel=options.RESULT)
    ] = Path("golden-layers-transfer"),
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print transfer.json to standard output.",
            rich_help_panel=options.RESULT,
        ),
    ] = False,
) -> None:
    """Show whether a layer chosen on one data set holds on another.

    Takes comparisons of one model on several data sets, and judges each method's choice on the
    proxy facts of one by the real edits of the test facts of all. Edits nothing itself, and takes
    no time.

    Try:

      golden-layers compare --facts ZsRE-test-all.json --split proxy=0.2 --out runs/zsre

      golden-layers compare --facts counterfact.json --split proxy=0.2 --out runs/counterfact

      golden-layers transfer runs/zsre runs/counterfact
    """
    options.check_out(out)
    with console.working("starting"):
        from goldenlayers.errors import SettingsError
        from goldenlayers.report.transfer_table import transfer_lines, transfer_table
        from goldenlayers.study.transfer import transfer

    names = [path.resolve().name for path in comparisons]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise SettingsError(f"two of the folders are called {twice!r}; their names must differ")
    found = transfer(dict(zip(names, comparisons, strict=True)))
    written = found.save(out)
    shown: list[Table | str] = []
    for method in found.methods:
        shown += [f"[bold]{escape(method)}[/]", transfer_table(found, method)]
    console.result(found.to_dict(), [*shown, *transfer_lines(found)], written, as_json)
