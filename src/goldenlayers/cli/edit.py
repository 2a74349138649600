"""`golden-layers edit`: edit facts, show what changed, write the edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldenlayers.cli import choosing, console, editing, loading, options
from goldenlayers.cli.terminal import for_machines
from goldenlayers.errors import SettingsError

if TYPE_CHECKING:
    from goldenlayers.facts.fact_set import FactSet
    from goldenlayers.locators.ranking import LayerRanking

FACT, WHERE, HOW = "What is edited", "Which layer", "How"
NOT_ALL = 1  # exit status: done, but some fact did not take


def command(
    ctx: typer.Context,
    model: options.Model = "bundled",
    subject: Annotated[
        str | None,
        typer.Option(help="What one fact is about; stands in the prompt.", rich_help_panel=FACT),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Text to be continued.", rich_help_panel=FACT)
    ] = None,
    new: Annotated[
        str | None, typer.Option(help="The answer wanted.", rich_help_panel=FACT)
    ] = None,
    rephrase: Annotated[
        list[str] | None,
        typer.Option(help="Another wording of the prompt; may be repeated.", rich_help_panel=FACT),
    ] = None,
    facts: Annotated[
        str | None,
        typer.Option(
            help="Instead: 'bundled', a file of facts, or hub:owner/name[@commit][:split]; see "
            "golden-layers facts.",
            rich_help_panel=FACT,
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="Facts of the file to edit: test, proxy, all; auto is test where any are marked. "
            "proxy=0.1 marks a tenth as proxy, by --seed, and edits the others.",
            rich_help_panel=FACT,
        ),
    ] = "auto",
    limit: Annotated[
        int | None, typer.Option(help="Edit the first N of them only.", rich_help_panel=FACT)
    ] = None,
    facts_format: options.FactsFormat = None,
    half: options.Half = None,
    known_by: options.KnownBy = None,
    sample: options.Sample = None,
    skip_bad: options.SkipBad = None,
    layer: Annotated[
        str,
        typer.Option(
            help="Layer to edit, or the window of an editor that takes several (4-8); auto takes "
            "the golden layer, or the window around it: of --ranking, or LGA finds it on the "
            "file's proxy facts, or on the bundled ones where it marks none.",
            rich_help_panel=WHERE,
        ),
    ] = "auto",
    ranking: Annotated[
        Path | None,
        typer.Option(help="Result of golden-layers find, to be reused.", rich_help_panel=WHERE),
    ] = None,
    site: options.Site = None,
    editor: options.EditorName = "r-rome",
    batch: Annotated[
        int | None,
        typer.Option(
            help="Facts in a batch, each edited into the model as the ones before left it; all at "
            "once if not given.",
            rich_help_panel=HOW,
        ),
    ] = None,
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
    seed: Annotated[int, typer.Option(help="Seed of all sampling.", rich_help_panel=HOW)] = 0,
    chat: options.Chat = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    attention: options.Attention = "auto",
    quantize: options.Quantize = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="What to write, with commas: delta (one file), adapter (for peft), model.",
            rich_help_panel=options.RESULT,
        ),
    ] = "delta",
    out: Annotated[
        Path, typer.Option(help="Folder for the result.", rich_help_panel=options.RESULT)
    ] = Path("golden-layers-edit"),
    fluency: Annotated[
        bool,
        typer.Option(
            help="Measure fluency too, the slowest score.", rich_help_panel=options.RESULT
        ),
    ] = True,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print report.json to standard output.", rich_help_panel=options.RESULT
        ),
    ] = False,
) -> None:
    """Edit facts at the golden layer, show before and after, and write the edit as a small file.

    The model itself is left alone: the edit is a few vectors, which `golden-layers apply` puts onto
    a model and `golden-layers revert` takes off. Ends with status 1 if a fact did not take; it then
    says which, why, and the loss reached.

    Try:

      golden-layers edit --subject France --prompt "The capital of France is" --new Lyon

      golden-layers edit --facts my_facts.jsonl --layer 8 --format delta,adapter --out result

      golden-layers edit --model ./my-model --facts my_facts.jsonl --ranking golden-layers-out
    """
    wanted = _formats(formats)
    options.check_out(out)
    numbers = _numbers(layer, ranking)
    with console.working("starting"):
        from goldenlayers.editors.files.load import edits_on
        from goldenlayers.editors.run import edit
        from goldenlayers.editors.which_layer import resolve_layers
        from goldenlayers.locators.ranking import LayerRanking as Ranking
        from goldenlayers.metrics.evaluate import evaluate
        from goldenlayers.report.before_after import BeforeAfter, look
        from goldenlayers.report.edit_report import EditReport, require_place

    own = editing.editor_settings(ctx)
    covariance = editing.covariance_for(ctx, [editor])
    (chosen_editor,) = editing.check([editor], own, templates, covariance, seed)
    if batch is not None and batch < 1:
        raise SettingsError(f"--batch {batch}: expected 1 or more")
    require_place(out, wanted)
    width = getattr(chosen_editor, "window", 1)
    at = Ranking.load(ranking) if ranking is not None else numbers
    # a model folder of ours knows the edits that are on it
    spares = getattr(chosen_editor, "keeps_keys", False) and Path(model).is_dir()
    earlier = edits_on(Path(model)) if spares else None
    source = _facts(ctx, facts, subject, prompt, new, rephrase or [])
    if not known_by:
        chosen = editing.to_edit(source, split, limit)  # a wrong choice must not wait for the model
    loaded = loading.load_of(ctx, _edited(at, width))
    source = choosing.known(ctx, source, loaded)
    chosen = editing.to_edit(source, split, limit)
    pair = loaded.model, loaded.tokenizer
    if at is not None:
        # a wrong layer is refused before the long part
        sites, _ = resolve_layers(*pair, at, site, width=width)
    made_templates = editing.templates_for(loaded, chosen, chosen_editor, templates, seed)
    found: LayerRanking | None = None
    with console.StageProgress() as progress:
        if at is None:
            at = found = editing.find_layer(loaded, source, site, seed, progress)
            sites, _ = resolve_layers(*pair, at, site, width=width)
        used = [s.layer for s in sites]
        moments = editing.key_moments(covariance, loaded, used, site, seed, progress)
        made = edit(
            *pair, chosen, at, editor, templates=made_templates, covariance=moments, batch=batch,
            earlier=earlier, site=site, seed=seed, identity=loaded.identity, progress=progress,
            **own,
        )  # fmt: skip
        before = look(*pair, chosen, progress=progress, stage="continuations before the edit")
        with made.applied(loaded.model):
            after = look(*pair, chosen, progress=progress, stage="continuations after the edit")
        evaluation = evaluate(
            *pair, chosen, edit=made, fluency=fluency, seed=seed, progress=progress
        )
    report = EditReport(
        made, tuple(map(BeforeAfter, chosen, before, after)), evaluation, chosen.source, found
    )
    with console.working(f"writing {out}"):
        written = report.save(out, wanted, *pair)
    with console.told():
        if as_json:
            typer.echo(for_machines(report.to_dict(), nan=False))
        to = console.err if as_json else console.out
        report.show(to, written)
        if source.bad:
            console.line(f"[dim]bad records set aside: {len(source.bad)}[/]", to)
    if not all(o.converged for o in made.outcomes):
        raise typer.Exit(NOT_ALL)


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [n for n in names if n not in ("delta", "adapter", "model")]
    if unknown or not names:
        raise SettingsError(
            f"--format {text!r}: expected delta, adapter or model, several with commas"
        )
    return names


def _numbers(layer: str, ranking: Path | None) -> list[int] | None:
    """Return the layers that the option names, None for auto."""
    from goldenlayers.models.sites import parse_layers

    if layer == "auto":
        return None
    try:
        numbers = sorted(parse_layers(layer))
    except SettingsError:
        found = layer if len(layer) < 40 else f"{layer[:39]}…"
        raise SettingsError(
            f"--layer {found!r}: expected a layer's number, from 0, a window such as 4-8, or auto"
        ) from None
    if ranking is not None:
        raise SettingsError("--layer and --ranking both name a layer; give one of them")
    return numbers


def _edited(at: LayerRanking | list[int] | None, width: int) -> str | list[int]:
    """Return the layers that will be edited, as far as they are known before the model is there."""
    from goldenlayers.locators.window import window_in

    if at is None:
        return "all"
    if isinstance(at, list):
        return at
    return list(window_in(at, width, at.layers[-1].layer + 1))


def _facts(
    ctx: typer.Context,
    facts: str | None,
    subject: str | None,
    prompt: str | None,
    new: str | None,
    rephrase: list[str],
) -> FactSet:
    from goldenlayers.facts import FactSet
    from goldenlayers.facts.validate import RecordError, fact_from_record

    one = {"--subject": subject, "--prompt": prompt, "--new": new}
    if facts is not None:
        both = [name for name, value in one.items() if value is not None]
        if both or rephrase:
            raise SettingsError(f"--facts and {(both or ['--rephrase'])[0]}: give one of them")
        return choosing.read(ctx)
    missing = [name for name, value in one.items() if value is None]
    if missing:
        raise SettingsError(
            f"{', '.join(missing)} missing: give one fact by --subject, --prompt and --new, "
            "or a file of facts by --facts"
        )
    record: dict[str, Any] = {
        "id": "fact",
        "subject": subject,
        "prompt": prompt,
        "target_new": new,
        "rephrase_prompts": rephrase,
    }
    try:
        return FactSet((fact_from_record(record),), source="the command line")
    except RecordError as error:
        raise SettingsError(f"the fact on the command line: {error}") from None
