"""The names of a model's parts around an edit site, with the layer as "{}"; found by structure.

Other tools want them in their settings. As with edit sites there is no table per model: the block
and the site come from `goldenlayers.models.sites`, the attention is what is called so and holds
linear maps, the final norm stands beside the blocks, and the output head is what transformers says.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from goldenlayers.errors import SiteError
from goldenlayers.models.sites import ATTENTION, EditSite, find_sites, linear_shape

NORM = re.compile(r"norm", re.IGNORECASE)  # in the name of the class: LayerNorm, LlamaRMSNorm
EMBEDDING = re.compile(r"emb", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Qualified names of modules; "{}" stands for the number of the layer.

    Attributes:
        layers: How many blocks the decoder has.
        block: The block, such as "model.layers.{}".
        site: The edit site, such as "model.layers.{}.mlp.down_proj".
        mlp: The module whose output is what the edit site writes, such as "model.layers.{}.mlp".
            It is the site itself where the MLP has no module of its own (OPT), where its module
            returns more than that (Bloom's and MPT's add the residual), and where the site is in
            the attention.
        attention: The attention module, such as "model.layers.{}.self_attn". Where blocks call it
            differently, the name in the site's own block; where that has none (a block with a
            convolution), the name in the first block that has one.
        norm: The norm between the last block and the output head, such as "model.norm".
        head: The module with the output head's weight, by the first name that the weight has:
            "lm_head", or the input embedding ("transformer.wte") where the two are tied.
    """

    layers: int
    block: str
    site: str
    mlp: str
    attention: str
    norm: str
    head: str


def find_landmarks(model: Any, site: EditSite | None = None) -> Landmarks:
    """Find the parts of a model around an edit site.

    Args:
        model: A causal language model of transformers (also on the meta device).
        site: An edit site of the model, from `find_sites`; None for the first one.

    Returns:
        The names.

    Raises:
        SiteError: If a part cannot be told, with what was found.
    """
    site = site or find_sites(model)[0]
    prefix, _, number = site.block.rpartition(".")
    blocks = model.get_submodule(prefix)
    if number != str(site.layer) or not isinstance(blocks, nn.ModuleList):
        raise SiteError(
            f"{site.name}: expected it in a numbered block of a list of modules, found "
            f"{site.block!r} in a {type(blocks).__name__}"
        )

    def pattern(name: str) -> str:
        return f"{prefix}.{{}}{name.removeprefix(site.block)}"

    return Landmarks(
        layers=len(blocks),
        block=pattern(site.block),
        site=pattern(site.name),
        mlp=pattern(_mlp(model, site)),
        attention=pattern(_attention(model, site, prefix)),
        norm=_norm(model, prefix),
        head=_head(model),
    )


def _mlp(model: nn.Module, site: EditSite) -> str:
    name = site.name.rpartition(".")[0]
    inside = name.removeprefix(site.block).split(".")
    module = model.get_submodule(name)
    if name == site.block or any(ATTENTION.search(part) for part in inside):
        return site.name
    if isinstance(module, nn.ModuleList | nn.ModuleDict):  # never called as a whole
        return site.name
    # A second input is the residual, which the module adds to what the site writes.
    _, *inputs = inspect.signature(type(module).forward).parameters.values()
    named = [p for p in inputs if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return name if sum(p.default is p.empty for p in named) <= 1 else site.name


def _attention(model: nn.Module, site: EditSite, prefix: str) -> str:
    own = model.get_submodule(site.block)
    blocks = model.get_submodule(prefix).children()
    found = next((names for block in (own, *blocks) if (names := _attention_in(block))), [])
    if len(found) != 1:
        parts = ", ".join(name for name, _ in own.named_children())
        raise SiteError(
            f"{site.block} ({type(own).__name__}): expected one attention module with linear maps, "
            f"found {', '.join(found) or 'none'}. Parts of the block: {parts}"
        )
    return f"{site.block}.{found[0]}"


def _attention_in(block: nn.Module) -> list[str]:
    found = [
        name
        for name, module in block.named_modules()
        if ATTENTION.search(name.rpartition(".")[2])
        and linear_shape(module) is None
        and any(linear_shape(part) for part in module.modules())
    ]
    return [n for n in found if not any(n.startswith(f"{other}.") for other in found)]


def _norm(model: nn.Module, prefix: str) -> str:
    """Return the norm beside the blocks, or beside the module that holds them, and so on up."""
    path, seen = prefix, []
    while path:
        parent, _, own = path.rpartition(".")
        children = list(model.get_submodule(parent).named_children())
        names = [name for name, _ in children]
        norms = [name for name, module in children if NORM.search(type(module).__name__)]
        # OPT lists its final norm before its blocks; Bloom has the embedding's norm there
        after = [n for n in norms if names.index(n) > names.index(own)]
        found = after or [n for n in norms if not EMBEDDING.search(n)]
        if len(found) == 1:
            return f"{parent}.{found[0]}".removeprefix(".")
        if found:
            raise SiteError(
                f"{type(model).__name__}: expected one norm after the blocks {prefix}, found "
                f"{', '.join(found)} in {parent or 'the model'}"
            )
        seen += names
        path = parent
    raise SiteError(
        f"{type(model).__name__}: expected a norm between the blocks {prefix} and the output head, "
        f"found none among {', '.join(seen)}"
    )


def _head(model: Any) -> str:
    get = getattr(model, "get_output_embeddings", None)
    head = get() if callable(get) else None
    weight = getattr(head, "weight", None)
    # named_parameters gives a weight that two modules share once, under its first name
    name: str | None = next((n for n, p in model.named_parameters() if p is weight), None)
    if name is None:
        found = "none" if head is None else f"a {type(head).__name__} whose weight has no name"
        raise SiteError(
            f"{type(model).__name__}: expected an output head with a weight "
            f"(get_output_embeddings), found {found}"
        )
    return name.removesuffix(".weight")
