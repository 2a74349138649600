"""`golden-layers find`: which layer to edit, and why."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from goldenlayers.cli import console, options
from goldenlayers.errors import SettingsError

HOW = "How the layer is chosen"


def command(
    model: options.Model = "bundled",
    facts: options.Facts = "bundled",
    split: Annotated[
        str,
        typer.Option(
            help="Facts to choose on: proxy, test, all; auto is proxy where the file marks any.",
            rich_help_panel=options.WHAT,
        ),
    ] = "auto",
    limit: options.Limit = None,
    skip_bad: options.SkipBad = False,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers to choose among, such as 5-20 or 3,5,8.", rich_help_panel=options.WHAT
        ),
    ] = None,
    site: options.Site = None,
    method: Annotated[
        str,
        typer.Option(help="lga: layer gradient analysis.", rich_help_panel=HOW),
    ] = "lga",
    old_answer: Annotated[
        str,
        typer.Option(
            help="record (the model's where a record has none) or model.", rich_help_panel=HOW
        ),
    ] = "record",
    scope: Annotated[
        str,
        typer.Option(
            help="site (the edit site's weight) or mlp (all weights of the MLP).",
            rich_help_panel=HOW,
        ),
    ] = "site",
    fence: Annotated[
        str,
        typer.Option(
            help="Width of Tukey's fences in interquartile ranges, or none.", rich_help_panel=HOW
        ),
    ] = "1.0",
    quartiles: Annotated[
        str, typer.Option(help="NumPy's name of the quantile method.", rich_help_panel=HOW)
    ] = "linear",
    confidence: Annotated[
        float | None,
        typer.Option(
            help="Take facts until the winner's selection stability is at least this (0 to 1).",
            rich_help_panel=HOW,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.", rich_help_panel=HOW)] = 0,
    batch_tokens: Annotated[
        int,
        typer.Option(help="Tokens in a batch; lower it if memory is short.", rich_help_panel=HOW),
    ] = 512,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    out: Annotated[
        Path, typer.Option(help="Folder for the result files.", rich_help_panel=options.RESULT)
    ] = Path("golden-layers-out"),
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print ranking.json to standard output.", rich_help_panel=options.RESULT
        ),
    ] = False,
) -> None:
    """Find the golden layer: the one to edit.

    Scores every layer by how the gradients of the old and the new answer agree there (LGA, arXiv
    2602.20207), without editing anything. Prints the layers, marks the golden one and the
    runners-up, and writes ranking.json, fact_scores.csv and scores.png into a folder.

    Try:

      golden-layers find

      golden-layers find --model gpt2-xl --facts my_facts.jsonl --out result

      golden-layers find --model ./my-model --confidence 0.9 --json
    """
    start = time.perf_counter()
    options.check_out(out)
    width = _fence(fence)
    with console.working("starting"):
        from goldenlayers.facts import bundled_facts, read_facts
        from goldenlayers.locators.find import choose_facts, find
        from goldenlayers.locators.registry import make_locator
        from goldenlayers.report.summary import summary_lines
        from goldenlayers.report.table import ranking_table

    settings: dict[str, Any] = {
        "old_answer": old_answer,
        "scope": scope,
        "fence": width,
        "quartiles": quartiles,
        "confidence": confidence,
        "batch_tokens": batch_tokens,
    }
    make_locator(method, **settings)  # a wrong setting must not wait for the model to load
    chosen = bundled_facts() if facts == "bundled" else read_facts(facts, skip_bad=skip_bad)
    choose_facts(chosen, split, limit)  # the same for a wrong split or limit
    loaded = options.load(model, device, dtype, revision, trust_remote_code)
    load_seconds = time.perf_counter() - start
    with console.StageProgress() as progress:
        ranking = find(
            loaded.model,
            loaded.tokenizer,
            chosen,
            method,
            layers=layers,
            site=site,
            split=split,
            limit=limit,
            seed=seed,
            identity=loaded.identity,
            progress=progress,
            **settings,
        )
    ranking = replace(ranking, seconds={"load": load_seconds, **ranking.seconds})
    with console.working("drawing"):
        written = ranking.save(out)
    if as_json:
        typer.echo(json.dumps(ranking.to_dict(), ensure_ascii=False, indent=1))
    to = console.err if as_json else console.out
    to.print(ranking_table(ranking))
    for text in summary_lines(ranking, chosen.bad, written):
        console.line(text, to)


def _fence(text: str) -> float | None:
    if text.strip().casefold() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"--fence {text!r}: expected a number of 0 or more, or none") from None
