"""`golden-layers check`: does everything hold on this model?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goldenlayers.cli import choosing, console, loading, options


def command(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help="'bundled', a model folder, a .gguf file, or a hub name.", metavar="MODEL"
        ),
    ] = "bundled",
    facts: Annotated[
        str,
        typer.Option(
            help="Facts to look at, each with an old answer; the first three are taken.",
            rich_help_panel=options.WHAT,
        ),
    ] = "bundled",
    chat: options.Chat = False,
    site: options.Site = None,
    seed: Annotated[
        int, typer.Option(help="Seed of everything random.", rich_help_panel=options.HOW)
    ] = 0,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    attention: options.Attention = "auto",
    quantize: options.Quantize = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write conformance.json here.", rich_help_panel=options.RESULT),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON.", rich_help_panel=options.RESULT)
    ] = False,
) -> None:
    """Check that everything golden-layers does is right on a model.

    For a model that you bring: finds its edit sites, and holds each fast way (gradient dots, prefix
    reuse, the growing batch, causal tracing) against the plain one on a few facts and two layers;
    makes an edit, takes it off bit for bit, writes it and reads it again. Prints what holds, what
    falls back to a slower way and why, and what fails. Ends with status 1 if anything fails.

    Try:

      golden-layers check ./my-model

      golden-layers check ./my-model --dtype bfloat16 --chat
    """
    if out is not None:
        options.check_out(out)
    with console.working("starting"):
        from goldenlayers.conformance import check_model
        from goldenlayers.conformance.run import FACTS
        from goldenlayers.report.conformance_table import conformance_lines, conformance_table

    chosen = [f for f in choosing.read(ctx) if f.target_old is not None][:FACTS]
    loaded = loading.load_of(ctx)
    with console.StageProgress() as progress:
        found = check_model(
            loaded.model,
            loaded.tokenizer,
            chosen,
            site=site,
            seed=seed,
            identity=loaded.identity,
            progress=progress,
        )
    written = [] if out is None else found.save(out)
    console.result(
        found.to_dict(), [conformance_table(found), *conformance_lines(found)], written, as_json
    )
    if not found.ok:
        raise typer.Exit(1)
