"""`golden-layers compare`: ways to choose a layer side by side, judged by real edits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from goldenlayers.cli import choosing, clusters, console, editing, loading, method_options, options

HOW = "What is compared"


def command(
    ctx: typer.Context,
    model: options.Model = "bundled",
    facts: options.Facts = "bundled",
    format: options.Format = None,
    half: options.Half = None,
    known_by: options.KnownBy = None,
    sample: options.Sample = None,
    split: Annotated[
        str,
        typer.Option(
            help="all takes the file's own marks; proxy=0.1 marks a tenth of the facts as proxy, "
            "by --seed, and the others as test.",
            rich_help_panel=options.WHAT,
        ),
    ] = "all",
    skip_bad: options.SkipBad = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers to choose among, such as 5-20 or 3,5,8.", rich_help_panel=options.WHAT
        ),
    ] = None,
    site: options.Site = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Names with commas, of those that find --method knows; fixed:N is the layer of "
            "somebody's settings file.",
            rich_help_panel=HOW,
        ),
    ] = "lga,verified,brute-force,cma,attribution-patching,gradient-norm,middle,random",
    proxy: Annotated[
        int, typer.Option(help="Proxy facts that each choice is made on.", rich_help_panel=HOW)
    ] = 20,
    repeats: Annotated[
        int,
        typer.Option(
            help="Draws of proxy facts; they share none as long as there are enough.",
            rich_help_panel=HOW,
        ),
    ] = 5,
    test: Annotated[
        int | None,
        typer.Option(help="Use the first N test facts; all if not given.", rich_help_panel=HOW),
    ] = None,
    objective: method_options.Objective = "mean",
    race: method_options.Race = None,
    confidence: Annotated[
        float, typer.Option(help="Of the bounds of verified's race.", rich_help_panel=HOW)
    ] = 0.9,
    kind: method_options.Kind = "mlp",
    window: method_options.Window = 10,
    draws: method_options.Draws = 10,
    noise: method_options.Noise = 3.0,
    traced: method_options.Traced = "known",
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
    seed: Annotated[
        int, typer.Option(help="Seed of everything random.", rich_help_panel=options.HOW)
    ] = 0,
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
        Path, typer.Option(help="Folder for the result.", rich_help_panel=options.RESULT)
    ] = Path("golden-layers-comparison"),
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print comparison.json to standard output.",
            rich_help_panel=options.RESULT,
        ),
    ] = False,
) -> None:
    """Compare ways to choose the layer, by what real edits at every layer show.

    Every test fact is edited at every layer once. Each method then chooses a layer on draws of
    proxy facts, of which it sees nothing else, and each choice is judged on the test facts: its
    score, its regret (points lost against the golden layer, cross-fitted), how well it ranks the
    layers, and what it cost. The oracle floor is the regret of brute force itself on as few facts.

    Every finished edit is kept in the folder at once: after Ctrl-C, or whatever stopped it, the
    same command with --resume goes on. How long it will take is said after the first fact.

    Try:

      golden-layers compare --test 20 --proxy 8 --repeats 3 --methods lga,brute-force,fixed:5

      golden-layers compare --model ./my-model --facts my_facts.jsonl --out comparison

      golden-layers compare --facts ZsRE-test-all.json --half a --sample 60 --split proxy=0.5

      golden-layers compare --resume --out comparison
    """
    options.check_out(out)
    names = [name.strip() for name in methods.split(",") if name.strip()]
    own = editing.editor_settings(ctx)
    covariance = editing.covariance_for(ctx, [editor])
    with console.working("starting"):
        from goldenlayers.report.comparison_table import comparison_lines, comparison_table
        from goldenlayers.results import require_own
        from goldenlayers.study.compare import compare, own_settings
        from goldenlayers.study.comparison import FORMAT, JSON_NAME
        from goldenlayers.sweep.store import NAME as STORE

        require_own(out / JSON_NAME, FORMAT)
    editing.check([editor], own, templates, covariance, seed)
    of_methods: dict[str, Any] = {
        "confidence": confidence, "race": method_options.racers(race), "kind": kind,
        "window": window, "draws": draws, "noise": noise, "traced": traced,
    }  # fmt: skip
    known = {setting for name in names for setting in own_settings(name)}
    on = clusters.cluster_of(ctx)
    chosen = choosing.read(ctx)
    loaded = loading.load_of(ctx, layers or "all")
    chosen = choosing.known(ctx, chosen, loaded)
    with console.StageProgress() as progress:
        found = compare(
            loaded.model, loaded.tokenizer, chosen, names,
            proxy=proxy, repeats=repeats, test=test, layers=layers, site=site, seed=seed,
            store=out / STORE, resume=resume, identity=loaded.identity, cluster=on,
            say=console.say, progress=progress, objective=objective, editor=editor,
            templates=templates,
            covariance=covariance, plain=plain,
            editor_settings=own,
            **{k: v for k, v in of_methods.items() if k in known and v is not None},
        )  # fmt: skip
    with console.working(f"writing {out}"):
        written = found.save(out)
    console.result(
        found.to_dict(), [comparison_table(found), *comparison_lines(found)], written, as_json
    )
