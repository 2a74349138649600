"""`golden-layers revert`: a model folder with an edit taken off."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from goldenlayers.cli import console, folders, loading, options
from goldenlayers.errors import EditError


def command(
    edit: Annotated[
        Path | None,
        typer.Argument(
            metavar="EDIT",
            help="What to take off; if not given, every edit that the model folder records.",
            show_default=False,
        ),
    ] = None,
    *,
    model: Annotated[
        str,
        typer.Option(
            help="The edited model: a folder, or a hub name.",
            rich_help_panel=options.WHAT,
            show_default=False,
        ),
    ],
    base: Annotated[
        str | None,
        typer.Option(
            help="The model that the edit was made on; with it, the result is exact.",
            rich_help_panel=options.WHAT,
        ),
    ] = None,
    out: folders.Out,
    force: folders.Force = False,
    device: options.Device = "cpu",
    dtype: folders.Dtype = "auto",
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Take an edit off a model, write the model, and say how exact it is.

    With --base, the edited weights become those of the base model again, bit for bit where a hash
    proves them. Without, the factors are subtracted, and the result is within a stated tolerance:
    adding a number and subtracting it again does not give back the same bits.

    Try:

      golden-layers revert --model edited --base bundled --out clean

      golden-layers revert --model edited --out nearly-clean

      golden-layers revert paris.safetensors --model edited --base ./my-model --out without-paris
    """
    folders.check_out(out, force)
    with console.working("starting"):
        from goldenlayers.editors.edit import Edit
        from goldenlayers.editors.files.load import edits_on
        from goldenlayers.editors.files.model import write_model
        from goldenlayers.editors.take_off import take_off

    recorded = edits_on(Path(model).expanduser())
    wanted = recorded if edit is None else Edit.load(edit)
    if wanted is None:
        raise EditError(
            f"{model}: no edit is recorded with this model; name the edit to take off: "
            "golden-layers revert EDIT --model …"
        )
    loaded = folders.load(model, device, dtype, None, trust_remote_code)
    clean = None
    if base is not None:
        # in the edited model's dtype, so that the two can be told to be the same
        clean = loading.load(
            base,
            device=device,
            dtype=loaded.identity.dtype,
            trust_remote_code=trust_remote_code,
        ).model
    reverted, rest = take_off(loaded.model, wanted, recorded, clean)
    with console.working(f"writing {out}"):
        written = write_model(out, loaded.model, loaded.tokenizer, rest, force)
    console.line(
        f"taken off  {len(wanted.outcomes)} facts by {escape(wanted.editor)}, layers "
        f"{', '.join(map(str, wanted.layers)) or 'none'}; {len(rest.outcomes) if rest else 0} "
        "facts stay edited"
    )
    console.line(f"[bold]{reverted}[/]")
    if not reverted.exact and base is None:
        console.line("  give the base model with --base for an exact result")
    console.line(f"written  {escape(str(out))}  ({len(written)} files, {loaded.identity.dtype})")
