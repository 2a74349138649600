"""`golden-layers`: the subcommands, and what the user sees when something goes wrong."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer
from rich.markup import escape

from goldenlayers._version import __version__
from goldenlayers.cli import facts, find, inspect
from goldenlayers.cli.console import err, paragraphs
from goldenlayers.errors import GoldenLayersError

app = typer.Typer(
    name="golden-layers",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Find which layer of a language model to edit.\n\n"
        "Start with [bold]golden-layers find[/bold]: it needs no argument and uses the bundled "
        "model and facts."
    ),
)
for name, command in (
    ("find", find.command),
    ("inspect", inspect.command),
    ("facts", facts.command),
):
    app.command(name, help=paragraphs(command))(command)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"golden-layers {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Find which layer of a language model to edit."""


def main() -> None:
    """Run the command line; bad input ends with one message and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a star shows "?"
    try:
        app()
    except GoldenLayersError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("[bold]stopped[/], nothing was written", highlight=False)
        sys.exit(130)


if __name__ == "__main__":
    main()
