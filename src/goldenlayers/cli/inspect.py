"""`golden-layers inspect`: what golden-layers sees in a model."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from goldenlayers.cli import console
from goldenlayers.errors import SettingsError, SiteError

if TYPE_CHECKING:
    from goldenlayers.models.sites import EditSite


def command(
    model: Annotated[
        str,
        typer.Argument(help="'bundled', a model folder, a .gguf file, or a hub name."),
    ] = "bundled",
    site: Annotated[
        str | None,
        typer.Option(help='Name of the edit site, such as "model.layers.{}.mlp.down_proj".'),
    ] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run code that comes with the model; only from sources you trust.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the blocks of a model and the edit site of each.

    Reads the configuration alone; no weights are loaded. Where the structure does not tell the
    site, it says what was found and how to name it with --site.
    """
    with console.working("reading the configuration"):
        from goldenlayers.models.load import load_empty
        from goldenlayers.models.sites import find_sites

        empty = load_empty(model, trust_remote_code=trust_remote_code, say=console.say)
    try:
        sites = find_sites(empty, site)
    except (SiteError, SettingsError):
        if not as_json:
            _show_modules(empty)
        raise
    if as_json:
        typer.echo(
            json.dumps(
                {"architecture": type(empty).__name__, "sites": [asdict(s) for s in sites]},
                indent=1,
            )
        )
    else:
        _show_sites(model, type(empty).__name__, sites)


def _show_sites(model: str, architecture: str, sites: list[EditSite]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("layer", "edit site", "class", "d_in", "d_out", "stored", "dtype"):
        number = name in ("layer", "d_in", "d_out")
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for s in sites:
        stored = "d_in x d_out" if s.transposed else "d_out x d_in"
        table.add_row(
            str(s.layer), escape(s.name), s.kind, str(s.d_in), str(s.d_out), stored, s.dtype
        )
    say = console.line
    first = sites[0]
    say(
        f"[bold]{escape(architecture)}[/], {len(sites)} layers, "
        f"blocks {escape(_numberless(first.block))}"
    )
    console.out.print(table)
    if any(s.transposed for s in sites):
        say("[dim]Conv1D keeps the transpose of what a Linear keeps; golden-layers minds it.[/]")
    for others in dict.fromkeys(_others(s) for s in sites):
        say(f"other weights of the MLP (--scope mlp): {escape(', '.join(others)) or 'none'}")
    option = "" if model == "bundled" else f" --model {shlex.quote(model)}"
    say(f"next   golden-layers find{escape(option)}")


def _others(site: EditSite) -> tuple[str, ...]:
    return tuple(n.removeprefix(f"{site.block}.") for n in site.mlp if n != site.name)


def _numberless(name: str) -> str:
    return ".".join("{}" if part.isdecimal() else part for part in name.split("."))


def _show_modules(model: Any) -> None:
    """Print each kind of module once, with layer numbers as {}, so that a site can be named."""
    from goldenlayers.models.sites import linear_shape

    seen: dict[str, str] = {}
    for name, module in model.named_modules():
        shape = linear_shape(module)
        if shape:
            seen.setdefault(_numberless(name), f"{type(module).__name__} {shape[0]} -> {shape[1]}")
    table = Table(
        box=None, header_style="bold", pad_edge=False, title="linear maps", title_justify="left"
    )
    table.add_column("name")
    table.add_column("class and widths")
    for pattern, what in seen.items():
        table.add_row(escape(pattern), what)
    console.err.print(table)
