"""`golden-layers evaluate`: how good a model is on facts, with and without edits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from goldenlayers.cli import (
    choosing,
    console,
    editing,
    evaluating,
    evaluation_results,
    loading,
    options,
)
from goldenlayers.cli.terminal import for_machines
from goldenlayers.errors import SettingsError

WITH = "With an edit"
# options that only --sequential has a use for, and only --layers
OF_SEQUENCES = ("batch", "every", "text", "resume")
OF_EDITING = ("site", "editor", "templates", "covariance", *editing.EDITOR)


def command(
    ctx: typer.Context,
    model: options.Model = "bundled",
    facts: options.Facts = "bundled",
    split: Annotated[
        str,
        typer.Option(
            help="Facts to score on: test, proxy, all; auto is test where the file marks any. "
            "proxy=0.1 marks a tenth as proxy, by --seed, and scores the others.",
            rich_help_panel=options.WHAT,
        ),
    ] = "auto",
    limit: options.Limit = None,
    format: options.Format = None,
    half: options.Half = None,
    known_by: options.KnownBy = None,
    sample: options.Sample = None,
    skip_bad: options.SkipBad = None,
    edits: Annotated[
        list[Path] | None,
        typer.Option(
            "--edit",
            help="Score with this edit on (a delta file or a folder); several compose.",
            rich_help_panel=WITH,
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Instead: edit each fact alone at each of these layers, score it, undo it: 4,8 or "
            "0-28; auto is the golden layer by LGA on the proxy facts. Of an editor of windows, "
            "each is the last of one.",
            rich_help_panel=WITH,
        ),
    ] = None,
    sequential: Annotated[
        bool,
        typer.Option(
            "--sequential",
            help="Edit the facts one after another into one model instead, and score all facts so "
            "far; several editors with commas. Several layers are the window of an editor that "
            "takes one; auto gives each editor the layer or the window that it takes.",
            rich_help_panel=WITH,
        ),
    ] = False,
    batch: Annotated[
        int,
        typer.Option(
            help="With --sequential: facts in a batch, for editors of batches.",
            rich_help_panel=WITH,
        ),
    ] = 1,
    every: Annotated[
        int,
        typer.Option(help="With --sequential: edits between two scorings.", rich_help_panel=WITH),
    ] = 10,
    text: Annotated[
        str,
        typer.Option(
            help="With --sequential: text that the perplexity is of, a file; fixed is one that "
            "comes with golden-layers.",
            rich_help_panel=WITH,
        ),
    ] = "fixed",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="With --sequential: go on from the last scoring that is kept in the folder; "
            "refused if model, facts or settings differ.",
            rich_help_panel=WITH,
        ),
    ] = False,
    site: options.Site = None,
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
    seed: Annotated[
        int, typer.Option(help="Seed of all sampling.", rich_help_panel=options.HOW)
    ] = 0,
    generate: Annotated[
        bool, typer.Option(help="Compute generated scores.", rich_help_panel=options.HOW)
    ] = True,
    fluency: Annotated[
        bool,
        typer.Option(help="Measure fluency, the slowest score.", rich_help_panel=options.HOW),
    ] = True,
    fluency_facts: Annotated[
        int | None,
        typer.Option(
            help="With --layers: measure fluency on the first N facts only.",
            rich_help_panel=options.HOW,
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
    out: Annotated[
        Path, typer.Option(help="Folder for the result.", rich_help_panel=options.RESULT)
    ] = Path("golden-layers-evaluation"),
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the summary to standard output.", rich_help_panel=options.RESULT
        ),
    ] = False,
) -> None:
    """Score a model on facts: rewrite, rephrase, locality, portability, fluency.

    Teacher-forced scores, as papers report them, stand beside generated ones, which are what a user
    would see; each mean has its standard error, and every raw output is kept. The unedited model is
    asked once per fact, whatever is compared with it.

    Try:

      golden-layers evaluate --model ./my-model --facts my_facts.jsonl

      golden-layers evaluate --facts my_facts.jsonl --edit golden-layers-edit/edit.safetensors

      golden-layers evaluate --limit 60 --layers auto,0,9,14,20,28

      golden-layers evaluate --split all --limit 100 --layers auto --sequential --editor r-rome,rome

      golden-layers evaluate --facts f.jsonl --layers 4-8 --sequential --editor memit --batch 100
    """
    options.check_out(out)
    own = editing.editor_settings(ctx)
    editors = _check(ctx, edits, layers, sequential, editor)
    covariances = {name: editing.covariance_for(ctx, [name]) for name in editors}
    made = editing.check(editors, own, templates, covariance, seed)
    with console.working("starting"):
        from goldenlayers.editors.edit import Edit

        evaluation_results.require_place(out, layers is not None, sequential)
    edit = Edit.compose([Edit.load(path) for path in edits]) if edits else None
    source = choosing.read(ctx)
    if not known_by:
        chosen = editing.to_edit(source, split, limit)  # a wrong choice must not wait for the model
    loaded = loading.load_of(ctx, evaluating.edited(layers, edit))
    source = choosing.known(ctx, source, loaded)
    chosen = editing.to_edit(source, split, limit)
    with console.StageProgress() as progress:
        if layers is None:
            result: Any = evaluating.evaluated(
                loaded, chosen, edit, generate, fluency, seed, progress
            )
        else:
            shared = {
                "templates": templates,
                "site": site,
                "fluency": fluency,
                "seed": seed,
                "identity": loaded.identity,
                "progress": progress,
            } | own
            if sequential:
                shared |= {"batch": batch, "every": every, "text": text, "resume": resume}
                result = evaluating.sequences(
                    loaded, source, chosen, layers, made, covariances, out, shared
                )
            else:
                shared |= {"generate": generate, "fluency_facts": fluency_facts}
                result = evaluating.each(
                    loaded, source, chosen, layers, made[0], covariances[editors[0]], shared
                )
    with console.working(f"writing {out}"):
        written = evaluation_results.save(result, out)
    with console.told():
        if as_json:
            typer.echo(for_machines(evaluation_results.summary(result), nan=False))
        to = console.err if as_json else console.out
        evaluation_results.show(result, layers is not None, sequential, to)
        if source.bad:
            console.line(f"[dim]bad records set aside: {len(source.bad)}[/]", to)
        for path in written:
            if path.parent == out:
                console.line(f"[dim]written[/] {escape(str(path))}", to)


def _check(
    ctx: typer.Context,
    edits: list[Path] | None,
    layers: str | None,
    sequential: bool,
    editor: str,
) -> list[str]:
    """Refuse options that contradict each other or would have no effect; return the editors."""
    if edits and layers is not None:
        raise SettingsError("--edit scores an edit that exists, --layers makes new ones; give one")
    if sequential and layers is None:
        raise SettingsError("--sequential needs --layers, such as 8, 4-8 or auto")
    given = editing.given(ctx, (*OF_EDITING, *OF_SEQUENCES, "fluency_facts"))
    if layers is None:
        unused, need = given, "--layers"
    elif sequential:
        unused, need = [n for n in given if n == "fluency_facts"], "edits of each fact alone"
    else:
        unused, need = [n for n in given if n in OF_SEQUENCES], "--sequential"
    if unused:
        raise SettingsError(f"--{unused[0].replace('_', '-')} has no effect without {need}")
    if sequential:
        from goldenlayers.metrics.perplexity import read_text

        for name in ("batch", "every"):
            if ctx.params[name] < 1:
                raise SettingsError(f"--{name} {ctx.params[name]}: expected 1 or more")
        read_text(ctx.params["text"])
    editors = list(dict.fromkeys(n.strip() for n in editor.split(",") if n.strip()))
    if not editors or (len(editors) > 1 and not sequential):
        raise SettingsError(f"--editor {editor!r}: expected one; several need --sequential")
    if layers is not None:
        from goldenlayers.models.sites import parse_layers

        numbers = [part for part in layers.split(",") if part.strip() != "auto"]
        if numbers:
            parse_layers(",".join(numbers))
        if sequential and numbers and "auto" in layers:
            raise SettingsError(
                f"--layers {layers!r}: --sequential takes auto, or the layers of one window"
            )
    return editors
