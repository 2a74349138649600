"""`golden-layers apply`: a model folder with edits on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from goldenlayers.cli import console, folders, options


def command(
    edits: Annotated[
        list[Path],
        typer.Argument(
            metavar="EDIT",
            help="Delta files, adapter folders or edited model folders, oldest first.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="The model that they were made on: 'bundled', a folder, a .gguf file, a hub name.",
            rich_help_panel=options.WHAT,
            show_default=False,
        ),
    ],
    out: folders.Out,
    force: folders.Force = False,
    device: options.Device = "cpu",
    dtype: folders.Dtype = "auto",
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Put edits onto a model and write it as a whole folder.

    The model is refused if its weights are not those that the edits were made on. Several edits
    must have one base, or each must have been made on a model with the ones before it. Edits that
    were computed apart are added up; nothing is optimised again. The folder is read by transformers
    like any other; golden_layers.json says what was edited, so that `golden-layers revert` can take
    it off.

    Try:

      golden-layers apply paris.safetensors --model bundled --out edited

      golden-layers apply a.safetensors b.safetensors --model ./my-model --out edited

      golden-layers apply c.safetensors --model edited --out edited-again
    """
    folders.check_out(out, force)
    with console.working("starting"):
        from goldenlayers.editors.edit import Edit
        from goldenlayers.editors.files.load import edits_on

    edit = Edit.compose([Edit.load(path) for path in edits])
    earlier = edits_on(Path(model).expanduser())
    loaded = folders.load(model, device, dtype, revision, trust_remote_code)
    with console.working(f"writing {out}"):
        written = edit.save(
            out,
            "model",
            model=loaded.model,
            tokenizer=loaded.tokenizer,
            overwrite=force,
            earlier=earlier,
        )
    for outcome in edit.outcomes:
        fact = outcome.fact
        console.line(
            f"  {escape(fact.id)}  {escape(fact.prompt)} → [bold]{escape(fact.target_new)}[/]  "
            f"[dim]{escape(outcome.status)}[/]"
        )
    layers = ", ".join(map(str, edit.layers)) or "none"
    console.line(
        f"applied  {len(edit.outcomes)} facts by {escape(edit.editor)}, layers {layers}, rank "
        f"{edit.rank}, onto {escape(loaded.identity.title)}"
        + (f", which had {len(earlier.outcomes)} facts edited already" if earlier else "")
    )
    console.line(f"written  {escape(str(out))}  ({len(written)} files, {loaded.identity.dtype})")
