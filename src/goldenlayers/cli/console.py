"""Where the command line writes: results to standard output, all else to standard error."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from goldenlayers.cli.terminal import PlainConsole, for_machines

# without emoji: a line number between colons is a number
out = PlainConsole(emoji=False)
err = PlainConsole(stderr=True, emoji=False)


def line(text: str, console: Console = out) -> None:
    """Print one line of markup as it is, unwrapped, so that it can be copied."""
    console.print(text, highlight=False, soft_wrap=True)


def table(made: Table, console: Console = out) -> None:
    """Print a table as wide as it is: a narrow terminal or a file must not lose columns."""
    needed = Measurement.get(console, console.options.update(max_width=1000), made).maximum
    if needed <= console.width:
        console.print(made)
    else:
        PlainConsole(file=console.file, width=needed, emoji=False).print(made, soft_wrap=True)


@contextmanager
def told() -> Iterator[None]:
    """Tell about what is written already: a Ctrl-C here must not say that nothing was."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def result(
    data: Mapping[str, Any],
    shown: Iterable[Table | str],
    written: Iterable[Path],
    as_json: bool,
) -> None:
    """Show a result that is on disk already.

    Args:
        data: The result for machines, printed to standard output if `as_json`.
        shown: Tables, and lines of markup, for a person; on standard error if `as_json`.
        written: The files.
        as_json: Whether JSON is wanted.
    """
    to = err if as_json else out
    with told():
        if as_json:
            typer.echo(for_machines(data))
        for item in shown:
            if isinstance(item, str):
                line(item, to)
            else:
                table(item, to)
        for path in written:
            line(f"[dim]written[/] {escape(str(path))}", to)


def say(text: str) -> None:
    """Tell the user what is going on."""
    line(f"[dim]{escape(text)}[/]", err)


def paragraphs(function: object) -> str:
    """Return a docstring as help: lines of a paragraph joined, indented lines kept as they are."""
    doc = inspect.cleandoc(function.__doc__ or "")
    parts = [p if p.startswith(" ") else " ".join(p.split()) for p in doc.split("\n\n")]
    return "\n\n".join(parts)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show a spinner while something of unknown length goes on."""
    with err.status(escape(text)):
        yield


class Rate(ProgressColumn):
    """Items a second, or a minute where they are slow."""

    def render(self, task: Task) -> Text:
        """Return what stands in the column."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{60 * speed:.1f}/min")


class StageProgress:
    """A progress bar per stage; called as `goldenlayers.progress.Progress` says."""

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=err,
            transient=True,
            speed_estimate_period=600.0,  # a batch of edits takes a minute
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> StageProgress:
        self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the stage's bar, which appears at its first call."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)
