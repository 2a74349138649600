"""`golden-layers`: the subcommands, and what the user sees when something goes wrong."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape

from goldenlayers._version import __version__
from goldenlayers.cli import (
    apply,
    check,
    compare,
    covariance,
    easyedit,
    edit,
    evaluate,
    facts,
    find,
    inspect,
    interrupts,
    memory,
    report,
    revert,
    study,
    transfer,
)
from goldenlayers.cli.console import err, paragraphs
from goldenlayers.errors import GoldenLayersError, MemoryShortError

app = typer.Typer(
    name="golden-layers",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Find which layer of a language model to edit, edit it there, and show that it worked.\n\n"
        "Start with [bold]golden-layers find[/bold]: it needs no argument and uses the bundled "
        "model and facts. Then [bold]golden-layers edit[/bold]."
    ),
)


class _Stopped(BaseException):
    """Ctrl-C, in a guise that typer lets through: it would end without a word."""


def _stoppable(command: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except KeyboardInterrupt:
            raise _Stopped from None

    return run


for name, command in (
    ("find", find.command),
    ("inspect", inspect.command),
    ("check", check.command),
    ("facts", facts.command),
    ("compare", compare.command),
    ("transfer", transfer.command),
    ("study", study.command),
    ("report", report.command),
    ("edit", edit.command),
    ("evaluate", evaluate.command),
    ("easyedit", easyedit.command),
    ("apply", apply.command),
    ("revert", revert.command),
    ("covariance", covariance.command),
):
    app.command(name, help=paragraphs(command))(_stoppable(command))


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
    with interrupts.twice_ends_at_once():
        try:
            app()
        except MemoryShortError as error:
            _fail(f"{error}{memory.kept(next(iter(sys.argv[1:]), ''))}")
        except GoldenLayersError as error:
            _fail(str(error))
        except (KeyboardInterrupt, _Stopped):
            err.print("[bold]stopped[/], no result was written", highlight=False)
            sys.exit(interrupts.STATUS)
        except MemoryError as error:
            _fail(memory.explain(error, next(iter(sys.argv[1:]), "")))
        except RuntimeError as error:
            from goldenlayers.passes.memory import ran_out  # torch, which --help need not wait for

            if not ran_out(error):
                raise
            _fail(memory.explain(error, next(iter(sys.argv[1:]), "")))


def _fail(message: str) -> NoReturn:
    told = escape(message.replace("\n", "\\n"))  # a name cannot make lines of its own
    err.print(f"[bold red]error:[/] {told}", highlight=False, soft_wrap=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
