"""Edit sites, found by structure: which linear map of each block writes the MLP's output.

No per-model file. The decoder's blocks are the one list of modules as long as the configuration
says the model is deep; in a block, everything linear outside the attention is the MLP; the edit
site is the linear map of the MLP whose output is as wide as the residual stream. Where structure
does not decide, the error lists what was found and `pattern` names the site.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from goldenlayers.errors import SettingsError, SiteError
from goldenlayers.models.experts import refuse_mixture_of_experts

ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
MLP = re.compile(r"mlp|ffn|ff$|feed_?forward", re.IGNORECASE)
# Towers of multimodal models that are no decoders of text; their blocks are never candidates.
NOT_TEXT = re.compile(r"vision|visual|image|audio|speech|video", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EditSite:
    """The edit site of one layer, with the MLP that it belongs to.

    Attributes:
        layer: Index of the block, from 0.
        block: Qualified name of the block.
        name: Qualified name of the site's module.
        kind: Class of the module, such as "Linear" or "Conv1D".
        d_in: Width of the site's input (the key), in features.
        d_out: Width of its output (the value), the residual stream's.
        transposed: Whether the weight is stored (d_in, d_out), as Conv1D does, instead of
            torch.nn.Linear's (d_out, d_in).
        dtype: The weight's dtype, such as "float32".
        mlp: Qualified names of all linear maps of the MLP, the site among them.
    """

    layer: int
    block: str
    name: str
    kind: str
    d_in: int
    d_out: int
    transposed: bool
    dtype: str
    mlp: tuple[str, ...]


def find_sites(model: nn.Module, pattern: str | None = None) -> list[EditSite]:
    """Find the edit site of every layer.

    Args:
        model: A causal language model of transformers (also on the meta device).
        pattern: Qualified name of the site with "{}" for the layer, such as
            "model.layers.{}.mlp.down_proj", for a model whose structure does not decide.

    Returns:
        One site per layer, layer 0 first.

    Raises:
        SiteError: If blocks or sites cannot be told apart, or the model is a mixture of experts.
        SettingsError: If `pattern` names no module of the model.
    """
    config = text_config(model)
    width = getattr(config, "hidden_size", None)
    if not isinstance(width, int):
        raise SiteError(
            f"{type(model).__name__}: its configuration has no hidden_size, so the width of the "
            "residual stream is unknown; expected a causal language model of transformers"
        )
    if pattern is not None:
        return _named_sites(model, pattern)
    prefix, blocks = _blocks(model, getattr(config, "num_hidden_layers", None))
    refuse_mixture_of_experts(model, prefix, blocks)
    return [_site(f"{prefix}.{i}", i, block, width) for i, block in enumerate(blocks)]


def choose_layers(sites: Sequence[EditSite], layers: str | Sequence[int] | None) -> list[EditSite]:
    """Return the sites of the wanted layers, shallow first.

    Args:
        sites: All sites of a model.
        layers: None for all; layer numbers; or text such as "5-20", "3,5,8" or "0-9,15".

    Raises:
        SettingsError: If the text is not of that form, or a layer does not exist.
    """
    if layers is None:
        return list(sites)
    wanted = parse_layers(layers) if isinstance(layers, str) else set(layers)
    known = {site.layer for site in sites}
    missing = sorted(wanted - known)
    if missing or not wanted:
        raise SettingsError(
            f"layers {layers!r}: "
            + (f"layer {missing[0]} does not exist" if missing else "no layer is named")
            + f"; the model has layers {min(known)} to {max(known)}"
        )
    return [site for site in sites if site.layer in wanted]


def text_config(model: nn.Module) -> Any:
    """Return the configuration of the text decoder, also of a multimodal model."""
    config = getattr(model, "config", None)
    if config is None:
        raise SiteError(
            f"{type(model).__name__} has no configuration; expected a model of transformers"
        )
    get = getattr(config, "get_text_config", None)
    return get(decoder=True) if callable(get) else config


def context_length(model: nn.Module) -> int | None:
    """Return how many tokens fit the model's positions, or None where there is no such bound."""
    return getattr(text_config(model), "max_position_embeddings", None)


def linear_shape(module: nn.Module) -> tuple[int, int, bool] | None:
    """Return (d_in, d_out, transposed) of a linear map, or None for any other module."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features, False
    weight = getattr(module, "weight", None)
    if type(module).__name__ == "Conv1D" and weight is not None and weight.dim() == 2:
        return weight.shape[0], weight.shape[1], True  # transformers' Conv1D, GPT-2's
    return None


def _blocks(model: nn.Module, depth: int | None) -> tuple[str, nn.ModuleList]:
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and not NOT_TEXT.search(name) and len(module)
    ]
    found = [
        (name, module)
        for name, module in lists
        if len(module) == depth and any(linear_shape(m) for m in module[0].modules())
    ]
    outer = [(n, m) for n, m in found if not any(n.startswith(f"{other}.") for other, _ in found)]
    if len(outer) == 1:
        return outer[0]
    what = ", ".join(f"{n} ({len(m)} modules)" for n, m in (outer or lists)) or "no list of modules"
    raise SiteError(
        f"{type(model).__name__}: expected one list of {depth} decoder blocks, found {what}; "
        'name the site yourself, for example --site "model.layers.{}.mlp.down_proj"'
    )


def _site(block_name: str, layer: int, block: nn.Module, width: int) -> EditSite:
    mlp = {
        name: shape
        for name, module in block.named_modules()
        if name
        and not any(ATTENTION.search(part) for part in name.split("."))
        and (shape := linear_shape(module))
    }
    writers = [name for name, (_, d_out, _) in mlp.items() if d_out == width]
    if len(writers) > 1:
        # other linear maps beside the MLP: keep those inside a module that is called one
        inside = [n for n in writers if any(MLP.search(part) for part in n.split(".")[:-1])]
        writers = inside or writers
    if len(writers) > 1:
        # an MLP as narrow as the stream: the map that reads it comes first, the writer last
        expanding = len({n.rpartition(".")[0] for n in writers}) == 1 and all(
            mlp[n][0] == width for n in writers
        )
        writers = writers[-1:] if expanding else writers
    if len(writers) != 1:
        listing = "; ".join(
            f"{n} ({d_in} -> {d_out})"
            for n, m in block.named_modules()
            if (s := linear_shape(m)) and (d_in := s[0]) and (d_out := s[1])
        )
        raise SiteError(
            f"{block_name} ({type(block).__name__}): expected one linear map that writes the MLP's "
            f"output, {width} features wide, found {', '.join(writers) or 'none'}. Linear maps of "
            f"the block: {listing or 'none'}. "
            f'Name the site yourself: --site "{_pattern(block_name)}.NAME"'
        )
    parent = writers[0].rpartition(".")[0]
    group = [n for n in mlp if not parent or n.startswith(f"{parent}.")]
    site = _described(
        layer, block_name, f"{block_name}.{writers[0]}", block.get_submodule(writers[0])
    )
    return replace(site, mlp=tuple(f"{block_name}.{n}" for n in group))


def _named_sites(model: nn.Module, pattern: str) -> list[EditSite]:
    if pattern.count("{}") != 1:
        raise SettingsError(
            f"site {pattern!r}: expected one '{{}}' for the layer, "
            "as in model.layers.{}.mlp.down_proj"
        )
    before, _, after = pattern.partition("{}")
    modules = dict(model.named_modules())
    numbers = {
        int(n[len(before) : len(n) - len(after)])
        for n in modules
        if n.startswith(before)
        and n.endswith(after)
        and n[len(before) : len(n) - len(after)].isdecimal()
    }
    if not numbers:
        ending = after.rpartition(".")[2]
        close = next((n for n in modules if ending and n.endswith(f".{ending}")), None)
        raise SettingsError(
            f"site {pattern!r}: no module of {type(model).__name__} has such a name"
            + (f"; one that ends alike is {close!r}" if close else "")
            + "; golden-layers inspect MODEL lists the modules"
        )
    sites = []
    for layer in sorted(numbers):
        block = (before + str(layer) + after.split(".")[0]).rstrip(".")
        name = f"{before}{layer}{after}"
        site = _described(layer, block, name, modules[name])
        parent = name.rpartition(".")[0]
        group = [n for n, m in modules.items() if n.startswith(f"{parent}.") and linear_shape(m)]
        if parent == block:  # no MLP module of its own: leave the attention out
            group = [n for n in group if not ATTENTION.search(n[len(block) :])]
        sites.append(replace(site, mlp=tuple(group)))
    return sites


def _described(layer: int, block: str, name: str, module: nn.Module) -> EditSite:
    shape = linear_shape(module)
    if shape is None:
        raise SettingsError(
            f"site {name!r} is a {type(module).__name__}; expected a linear map "
            "(torch.nn.Linear or transformers' Conv1D)"
        )
    d_in, d_out, transposed = shape
    weight = module.weight
    dtype = str(getattr(weight, "dtype", "unknown")).removeprefix("torch.")
    return EditSite(
        layer, block, name, type(module).__name__, d_in, d_out, transposed, dtype, (name,)
    )


def _pattern(block_name: str) -> str:
    return block_name.rpartition(".")[0] + ".{}"


def parse_layers(text: str) -> set[int]:
    """Return the layers that text such as "3,5-8" names.

    Raises:
        SettingsError: If the text is not of that form.
    """
    layers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise SettingsError(
                f"layers {text!r}: {part!r} is not a layer or a range; "
                "expected 5-20, 3,5,8 or 0-9,15"
            )
        layers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return layers
