"""Loading the model that a command's options name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from goldenlayers.cli import console

if TYPE_CHECKING:
    from goldenlayers.models.load import LoadedModel

# options that say how a model is loaded, each by the name of `load_model`'s setting
LOADING = (
    "device", "dtype", "revision", "trust_remote_code", "device_map", "attention", "quantize",
)  # fmt: skip


def load_of(ctx: typer.Context, edit_layers: str | Sequence[int] | None = None) -> LoadedModel:
    """Load the model that a command's options name.

    Args:
        ctx: The command's context.
        edit_layers: Layers that the command will edit; see `goldenlayers.load_model`.
    """
    given = {name: ctx.params[name] for name in LOADING if name in ctx.params}
    if edit_layers is not None:
        given |= {"edit_layers": edit_layers, "site": ctx.params.get("site")}
    return load(ctx.params["model"], chat=ctx.params.get("chat", False), **given)


def load(model: str, *, chat: bool = False, **given: Any) -> LoadedModel:
    """Load a model with a spinner, and with its chat template if wanted.

    Args:
        model: Its name.
        chat: Whether prompts go through its chat template.
        **given: Settings of `goldenlayers.load_model`.
    """
    from goldenlayers.models.chat import chat_tokenizer
    from goldenlayers.models.load import load_model

    # it says on every forward pass that it casts to float16, which is how it works
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with console.working(f"loading {model}"):
        loaded = load_model(model, say=console.say, **given)
    return replace(loaded, tokenizer=chat_tokenizer(loaded.tokenizer)) if chat else loaded
