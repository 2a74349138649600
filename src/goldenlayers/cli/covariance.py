"""`golden-layers covariance`: the second moments of the keys, which editors spare."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from goldenlayers.cli import clusters, console, loading, options
from goldenlayers.errors import SettingsError

if TYPE_CHECKING:
    from goldenlayers.covariance.covariances import Covariances
    from goldenlayers.covariance.estimate import Estimate

TEXT = "Text"
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def command(
    ctx: typer.Context,
    model: options.Model = "bundled",
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers, such as 4,8 or 5-20; all by default.", rich_help_panel=options.WHAT
        ),
    ] = None,
    site: options.Site = None,
    text: Annotated[
        str,
        typer.Option(
            help="model (it writes its own text), a text file, a .jsonl file with 'text' on each "
            "line, or hub:owner/name/config:split:field.",
            rich_help_panel=TEXT,
        ),
    ] = "model",
    tokens: Annotated[
        int | None,
        typer.Option(
            help="Tokens to sum over; 5 times the key width by default.", rich_help_panel=TEXT
        ),
    ] = None,
    length: Annotated[
        int, typer.Option(help="Most tokens in a window.", rich_help_panel=TEXT)
    ] = 128,
    seed: Annotated[
        int, typer.Option(help="Seed of the text that the model writes.", rich_help_panel=TEXT)
    ] = 0,
    ridge: Annotated[
        float,
        typer.Option(
            help="Ridge of the condition column, as a share of the mean diagonal. The sums are "
            "kept without one.",
            rich_help_panel=options.HOW,
        ),
    ] = 0.1,
    free: Annotated[
        float | None,
        typer.Option(
            help="Also tell which share of the directions has an eigenvalue under this, for "
            "AlphaEdit may use those: 0.02 as published. Seconds a layer, more for wide ones.",
            rich_help_panel=options.HOW,
        ),
    ] = None,
    relative: Annotated[
        bool,
        typer.Option(
            "--relative",
            help="--free counts in mean eigenvalues of the layer.",
            rich_help_panel=options.HOW,
        ),
    ] = False,
    sum_dtype: Annotated[
        str, typer.Option(help="float32 or float64.", rich_help_panel=options.HOW)
    ] = "float32",
    batch_tokens: Annotated[
        int,
        typer.Option(
            help="Tokens in a batch; fewer where memory runs out.", rich_help_panel=options.HOW
        ),
    ] = 2048,
    max_memory: Annotated[
        str | None,
        typer.Option(
            help="Most memory for the sums, such as 4GB; more layers than fit take more passes. "
            "By default 80 % of what is free.",
            rich_help_panel=options.HOW,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            help="Go on from the partial sums of a run that was stopped.",
            rich_help_panel=options.HOW,
        ),
    ] = True,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Say what it would cost, and compute nothing.",
            rich_help_panel=options.HOW,
        ),
    ] = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    cluster: clusters.Address = None,
    workers: clusters.Workers = None,
    gpus_per_worker: clusters.GPUs = 0,
    cpus_per_worker: clusters.CPUs = 1,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the sums; golden-layers' cache by default.",
            rich_help_panel=options.RESULT,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON.", rich_help_panel=options.RESULT),
    ] = False,
) -> None:
    """Compute the second moments of the keys, so that editors find them ready.

    The key k of a layer is what goes into its edit site. Editors such as ROME solve with C, the
    mean of k k^T over running text, so that an edit moves other texts as little as it can. All
    layers are computed in one pass and kept on disk, by content: another weight,
    text, length or dtype is another entry, and what is there is not computed again. A run that is
    stopped goes on where it was.

    Try:

      golden-layers covariance --estimate

      golden-layers covariance --layers 5-12 --free 0.02

      golden-layers covariance --model gpt2-xl --text wikipedia.txt --tokens 100000
    """
    bound = _bytes(max_memory)
    on = clusters.cluster_of(ctx)
    if not 0 <= ridge < float("inf"):
        raise SettingsError(f"--ridge {ridge}: expected a number of 0 or more")
    if free is not None and not 0 < free < float("inf"):
        raise SettingsError(f"--free {free}: expected a number above 0")
    if relative and free is None:
        raise SettingsError("--relative has no effect without --free")
    with console.working("starting"):
        from goldenlayers.covariance.compute import key_covariance
        from goldenlayers.covariance.texts import text_source

    text_source(text, seed).identity()  # a wrong name must not wait for the model to load
    loaded = loading.load(
        model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code
    )

    def before(cost: Estimate) -> None:
        if estimate:
            if as_json:
                typer.echo(json.dumps(asdict(cost), indent=1))
            raise typer.Exit

    start = time.perf_counter()
    try:
        with console.StageProgress() as progress:
            covariances = key_covariance(
                loaded.model,
                loaded.tokenizer,
                layers,
                site=site,
                text=text,
                tokens=tokens,
                length=length,
                dtype=sum_dtype,
                seed=seed,
                batch_tokens=batch_tokens,
                max_memory=bound,
                cache=cache,
                resume=resume,
                cluster=on,
                say=console.say,
                progress=progress,
                before=before,
            )
    except KeyboardInterrupt:
        console.say("stopped; what was kept so far is used when the same command runs again")
        raise typer.Exit(130) from None
    if estimate:
        console.say("all of it is on disk already; nothing would be computed")
        return
    with console.working("directions"):
        rows = _rows(covariances, ridge, free, relative)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    console.out.print(_table(rows, ridge))
    console.line(f"kept in  {escape(str(covariances.folder))}")
    computed = len(covariances.computed)
    seconds = time.perf_counter() - start
    console.line(
        f"{computed} computed, {len(covariances) - computed} found on disk, {seconds:.1f} s"
    )


def _rows(
    covariances: Covariances, ridge: float, free: float | None, relative: bool
) -> list[dict[str, Any]]:
    from goldenlayers.editors.alphaedit import free_share

    rows = []
    for layer, moment in covariances.items():
        spectrum = moment.spectrum()
        rows.append(
            {
                "layer": layer,
                "site": moment.site,
                "width": moment.width,
                "tokens": moment.tokens,
                "mean_square": moment.mean_square,
                "top_share": spectrum.top_share,
                "directions": spectrum.directions,
                "condition": spectrum.condition(moment.width, ridge) if ridge > 0 else None,
                **({} if free is None else {"free": free_share(moment, free, relative)}),
                "computed": layer in covariances.computed,
                "seconds_of_pass": moment.info.get("seconds"),
                "file": str(moment.path),
            }
        )
    return rows


def _table(rows: list[dict[str, Any]], ridge: float) -> Table:
    table = Table(
        box=None,
        header_style="bold",
        pad_edge=False,
        padding=(0, 1, 0, 0),
        # top: share of the trace in the largest eigenvalue; directions: participation ratio
        caption=f"top: share of the largest direction; condition: about at most, ridge {ridge:g}",
        caption_justify="left",
    )
    told = ["free"] if "free" in rows[0] else []
    for name in ("layer", "tokens", "width", "mean k²", "top", "directions", "condition", *told):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("file", overflow="fold")
    for row in rows:
        table.add_row(
            str(row["layer"]),
            f"{row['tokens']:,}",
            f"{row['width']:,}",
            f"{row['mean_square']:.2g}",
            f"{row['top_share']:.0%}",
            f"{row['directions']:,.1f}",
            "–" if row["condition"] is None else f"{row['condition']:.1e}",
            *(f"{row[name]:.1%}" for name in told),
            "computed" if row["computed"] else "found",
            escape(Path(row["file"]).name),
        )
    return table


def _bytes(text: str | None) -> int | None:
    """Return a number of bytes from text such as 4GB or 500 MB."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B)?", text.strip().upper())
    if match is None:
        raise SettingsError(f"--max-memory {text!r}: expected a size such as 4GB or 500MB")
    return int(float(match[1]) * UNITS[match[2] or ""])
