"""`golden-layers find`: which layer to edit, and why."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from goldenlayers.cli import (
    choosing,
    clusters,
    console,
    loading,
    method_options,
    of_method,
    options,
)
from goldenlayers.cli.terminal import for_machines
from goldenlayers.errors import SettingsError

HOW = "How the layer is chosen"


def command(
    ctx: typer.Context,
    model: options.Model = "bundled",
    facts: options.Facts = "bundled",
    split: Annotated[
        str,
        typer.Option(
            help="Facts to choose on: proxy, test, all; auto is proxy where the file marks any. "
            "proxy=0.1 marks a tenth as proxy, by --seed, and chooses on it.",
            rich_help_panel=options.WHAT,
        ),
    ] = "auto",
    limit: options.Limit = None,
    format: options.Format = None,
    half: options.Half = None,
    known_by: options.KnownBy = None,
    sample: options.Sample = None,
    skip_bad: options.SkipBad = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers to choose among, such as 5-20 or 3,5,8.", rich_help_panel=options.WHAT
        ),
    ] = None,
    site: options.Site = None,
    method: Annotated[
        str,
        typer.Option(
            help="auto: what is recommended, staged. staged: few real edits that close in on the "
            "best layers, in minutes. lga: layer gradient analysis, from gradients alone, in "
            "seconds. verified: the best by LGA race with real edits. brute-force: edit at every "
            "layer and look. cma: causal mediation analysis. Also robust-lga:WAY, predicted:WAY, "
            "attribution-patching, gradient-norm, middle, random, fixed:N.",
            rich_help_panel=HOW,
        ),
    ] = "auto",
    objective: method_options.Objective = "mean",
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
            help="lga: take facts until the winner's selection stability is at least this (0 to "
            "1). verified: of the bounds of the race, 0.9 where nothing is said.",
            rich_help_panel=HOW,
        ),
    ] = None,
    race: method_options.Race = None,
    share: method_options.Share = 0.075,
    most_edits: method_options.MostEdits = 150,
    kind: method_options.Kind = "mlp",
    window: method_options.Window = 10,
    draws: method_options.Draws = 10,
    noise: method_options.Noise = 3.0,
    traced: method_options.Traced = "known",
    heat_map: Annotated[
        str | None,
        typer.Option(
            help="cma: also draw the effect at every layer and token of this fact, by its id.",
            rich_help_panel=HOW,
        ),
    ] = None,
    statistic: Annotated[
        str,
        typer.Option(help="gradient-norm: l2, or mean-abs as SaLEM has it.", rich_help_panel=HOW),
    ] = "l2",
    editor: options.EditorName = "r-rome",
    templates: options.TemplateKind = options.TEMPLATES,
    covariance: options.Covariance = options.COVARIANCE,
    lr: options.LearningRate = None,
    steps: options.Steps = None,
    weight_decay: options.WeightDecay = None,
    clamp: options.Clamp = None,
    kl_factor: options.KLFactor = None,
    value_from: options.ValueFrom = options.VALUE_FROM,
    ridge: options.Ridge = 0.1,
    occurrence: options.Occurrence = "last",
    stop_loss: options.StopLoss = 0.05,
    converged_below: options.ConvergedBelow = 0.6931,
    settings: options.Settings = None,
    plain: method_options.Plain = False,
    resume: method_options.Resume = False,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", rich_help_panel=HOW)] = 0,
    batch_tokens: Annotated[
        int | None,
        typer.Option(
            help="Most tokens that are run together. By default 512 for gradients and 2048 for "
            "edits, on a GPU what its free memory bears; fewer where memory runs out.",
            rich_help_panel=HOW,
        ),
    ] = None,
    chat: options.Chat = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    attention: options.Attention = "auto",
    quantize: options.Quantize = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    cluster: clusters.Address = None,
    workers: clusters.Workers = None,
    gpus_per_worker: clusters.GPUs = 0,
    cpus_per_worker: clusters.CPUs = 1,
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

    Edits some facts at some layers, scores the edits and undoes them, and closes in on the layers
    where editing works best (--method staged); layer gradient analysis (LGA, arXiv 2602.20207),
    which edits nothing, is asked beside it. With --method the layer is chosen in another way, from
    gradients alone up to editing every fact at every layer. Prints the layers, marks the golden one
    and the runners-up, says how far such choices were from the truth where that was measured, and
    writes ranking.json, fact_scores.csv and scores.png into a folder. The model is left as it was.

    The methods that edit keep every finished edit in the folder too: after Ctrl-C, or whatever
    stopped them, the same command with --resume goes on; without a --method it does so by itself.

    Try:

      golden-layers find

      golden-layers find --model gpt2-xl --facts my_facts.jsonl --out result

      golden-layers find --method lga --out lga

      golden-layers find --method verified --out verified

      golden-layers find --method brute-force --limit 20 --objective rephrase --out truth

      golden-layers find --method cma --heat-map capital-france --split all --out traced
    """
    start = time.perf_counter()
    options.check_out(out)
    with console.working("starting"):
        from goldenlayers.locators.find import choose_facts, find
        from goldenlayers.locators.registry import AUTO, make_locator
        from goldenlayers.report.summary import summary_lines
        from goldenlayers.report.table import ranking_table
        from goldenlayers.sweep.store import NAME as STORE

    converted: dict[str, Any] = {"fence": _fence(fence)}
    if race is not None:
        converted["race"] = method_options.racers(race)
    chosen_settings = of_method.settings_of(ctx, method, converted)
    store = out / STORE if "editor_settings" in chosen_settings else None
    make_locator(method, **chosen_settings)  # a wrong setting must not wait for the model to load
    on = clusters.cluster_of(ctx)
    chosen = choosing.read(ctx)
    split = choosing.used_split(split)
    if not known_by:
        choose_facts(chosen, split, limit)  # the same for a wrong split or limit
    loaded = loading.load_of(ctx, None if store is None else layers or "all")
    chosen = choosing.known(ctx, chosen, loaded)
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
            store=store,
            resume=resume or method == AUTO,  # the plain command can be given again
            cluster=on,
            say=console.say,
            progress=progress,
            **chosen_settings,
        )
    ranking = replace(ranking, seconds={"load": load_seconds, **ranking.seconds})
    with console.working("drawing"):
        written = ranking.save(out)
    if as_json:
        typer.echo(for_machines(ranking.to_dict()))
    to = console.err if as_json else console.out
    console.table(ranking_table(ranking), to)
    for text in summary_lines(ranking, chosen.bad, written):
        console.line(text, to)
    if ranking.details.get("stopped"):
        raise typer.Exit(130)


def _fence(text: str) -> float | None:
    if text.strip().casefold() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"--fence {text!r}: expected a number of 0 or more, or none") from None
