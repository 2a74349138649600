"""What `apply` and `revert` share: models that are read and written in their own dtype."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldenlayers.cli import console, loading, options

if TYPE_CHECKING:
    from goldenlayers.models.load import LoadedModel

Out = Annotated[
    Path, typer.Option(help="New folder for the model.", rich_help_panel=options.RESULT)
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace a folder that golden-layers wrote.",
        rich_help_panel=options.RESULT,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        help="auto (the model's own), float32, bfloat16, float16, float64.",
        rich_help_panel=options.HOW,
    ),
]


def check_out(out: Path, force: bool) -> None:
    """Refuse a folder that must not be written, before any model is loaded."""
    from goldenlayers.editors.files.whole import require_free

    options.check_out(out)
    require_free(out, force)


def load(
    model: str, device: str, dtype: str, revision: str | None, trust_remote_code: bool
) -> LoadedModel:
    """Load a model; "auto" is the dtype that its files have, so that it is written as it was."""
    if dtype == "auto":
        dtype = _own_dtype(model, revision, trust_remote_code)
    return loading.load(
        model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code
    )


def _own_dtype(model: str, revision: str | None, trust_remote_code: bool) -> str:
    from goldenlayers.models.load import DTYPES, load_empty

    if model.lower().endswith(".gguf"):
        return "float32"  # its blocks are dequantised to that
    with console.working(f"reading the configuration of {model}"):
        # of the same revision: the configuration of another may name other code
        empty = load_empty(
            model, revision=revision, trust_remote_code=trust_remote_code, say=console.say
        )
    own = str(empty.dtype).removeprefix("torch.")
    return own if own in DTYPES else "float32"
