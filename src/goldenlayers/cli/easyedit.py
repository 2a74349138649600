"""`golden-layers easyedit`: the layer found, as a settings file for EasyEdit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from goldenlayers.cli import console, options
from goldenlayers.errors import ModelError


def command(
    ranking: Annotated[
        Path,
        typer.Option(
            help="What `golden-layers find` wrote: its folder, or the ranking.json in it.",
            rich_help_panel=options.WHAT,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The file to write; its name ends in .yaml.", rich_help_panel=options.RESULT
        ),
    ],
    editor: Annotated[
        str, typer.Option(help="EasyEdit's editor: r-rome or rome.", rich_help_panel=options.WHAT)
    ] = "r-rome",
    layer: Annotated[
        int | None,
        typer.Option(
            help="The layer to edit, from 0, instead of the golden one.",
            rich_help_panel=options.WHAT,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model that was ranked, if it is no longer where the ranking says.",
            rich_help_panel=options.WHAT,
        ),
    ] = None,
    model_name: Annotated[
        str | None,
        typer.Option(
            help="What EasyEdit shall load, if it runs where the model is elsewhere.",
            rich_help_panel=options.RESULT,
        ),
    ] = None,
    device: Annotated[
        int,
        typer.Option(help="Number of the GPU for EasyEdit.", rich_help_panel=options.RESULT),
    ] = 0,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace a file that is there.", rich_help_panel=options.RESULT
        ),
    ] = False,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Write the layer found as a settings file for EasyEdit.

    Reads a ranking and the model's configuration (no weights), and writes the YAML file that
    EasyEdit's ROME or R-ROME reads: the layer, the names of the model's modules, and the published
    settings. Refuses a model that is not the one that was ranked.

    Try:

      golden-layers easyedit --ranking golden-layers-out --out my-model.yaml

      golden-layers easyedit --ranking result --layer 5 --out my-model.yaml
    """
    with console.working("reading the configuration"):
        from goldenlayers.locators.ranking import LayerRanking
        from goldenlayers.models.load import load_empty
        from goldenlayers.report import easyedit

        easyedit.find_editor(editor)  # a wrong setting must not wait for the model
        easyedit.check_path(out, force)
        options.check_out(out.parent)
        loaded = LayerRanking.load(ranking)
        name = easyedit.ranked_name(loaded) if model is None else model
        try:
            empty = load_empty(name, trust_remote_code=trust_remote_code, say=console.say)
        except ModelError as error:
            if model is not None:
                raise
            raise ModelError(f"{error}; the ranking names it so: give it with --model") from error
        file = easyedit.easyedit_file(
            loaded,
            empty,
            editor,
            layer=layer,
            model_name=easyedit.loadable_name(name) if model_name is None else model_name,
            device=device,
        )
        path = file.save(out, force=force)
    for text in file.origin:
        console.line(escape(text))
    for text in file.cautions:
        console.line(f"[bold]caution[/] {escape(text)}")
    read = f"{file.editor.hparams}.from_hparams({str(path.absolute())!r})"
    console.line(f"file   {escape(str(path))}")
    console.line(f"use    from easyeditor import BaseEditor, {file.editor.hparams}")
    console.line(f"       editor = BaseEditor.from_hparams({escape(read)})")
