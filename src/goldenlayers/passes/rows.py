"""Rows of token ids at which something is read, and what the clean model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import cache_utils

from goldenlayers.models.sites import EditSite
from goldenlayers.models.subject import SubjectRow
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.families import by_row
from goldenlayers.passes.transfers import on_device


@dataclass(frozen=True)
class Reads:
    """Positions of the rows from which something is predicted.

    Attributes:
        rows: (N,) int64, row of each position.
        columns: (N,) int64, its column in the whole row.
    """

    rows: Tensor
    columns: Tensor


@dataclass(frozen=True)
class Clean:
    """What one pass of the clean model over whole rows leaves, per edit site where it differs.

    Attributes:
        keys: Per site, (R, d_in) its input at the subject's last token.
        outputs: Per site, (R, d_out) its output there, bias included.
        streams: Per site, (R, d) what its block hands on there: the residual stream.
        inputs: Per site, (R, T, d) what enters its block.
        logits: (N, V) at the positions read.
        tokens: Tokens that went through the model, padding not counted.
        cache: Keys and values of every layer and position, or None.
        tuples: Per block, the length of the tuple that it returns; None where it returns a tensor.
    """

    keys: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    streams: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    logits: Tensor
    tokens: int
    cache: Any
    tuples: tuple[int | None, ...]


@torch.no_grad()
def clean_pass(
    model: Any,
    sites: Sequence[EditSite],
    rows: Sequence[SubjectRow],
    reads: Reads,
    *,
    keep_cache: bool,
) -> Clean:
    """Run whole rows once.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        sites: Edit sites, shallow first.
        rows: The rows, as they are fed.
        reads: Positions whose logits are wanted.
        keep_cache: Whether keys and values are kept.
    """
    ids = padded([r.ids for r in rows], model.device)  # (R, T)
    R = len(ids)
    row = torch.arange(R, device=model.device)
    at = on_device([r.subject for r in rows], model.device)
    seen: dict[tuple[str, int], Tensor] = {}
    tuples: list[int | None] = []

    def at_site(g: int, module: nn.Module, args: Any, output: Tensor) -> None:
        # picked, not viewed: it may be added to in place
        seen["keys", g] = by_row(args[0], R)[row, at]  # (R, d_in)
        seen["outputs", g] = by_row(output, R)[row, at]  # (R, d_out)

    def at_entry(g: int, module: nn.Module, args: Any, kwargs: Any) -> None:
        seen["inputs", g] = args[0] if args else kwargs["hidden_states"]  # (R, T, d)

    def at_exit(g: int, module: nn.Module, args: Any, output: Any) -> None:
        seen["streams", g] = by_row(output, R)[row, at]  # (R, d)

    def at_block(module: nn.Module, args: Any, output: Any) -> None:
        tuples.append(len(output) if isinstance(output, tuple) else None)

    handles = [b.register_forward_hook(at_block) for b in blocks_of(model, sites[0])]
    for g, site in enumerate(sites):
        block = model.get_submodule(site.block)
        handles += [
            model.get_submodule(site.name).register_forward_hook(partial(at_site, g)),
            block.register_forward_pre_hook(partial(at_entry, g), with_kwargs=True),
            block.register_forward_hook(partial(at_exit, g)),
        ]
    # without the configuration: layers with a sliding window keep all positions too
    cache = cache_utils.DynamicCache() if keep_cache else None
    try:
        with answer_logits(model, reads.rows, reads.columns) as gathered:
            output = model(input_ids=ids, past_key_values=cache, use_cache=keep_cache)
            logits = gathered.pick(output.logits)
    finally:
        for handle in handles:
            handle.remove()
    by_name = {
        name: tuple(seen[name, g] for g in range(len(sites)))
        for name in ("keys", "outputs", "streams", "inputs")
    }
    return Clean(
        **by_name,
        logits=logits,
        tokens=sum(len(r.ids) for r in rows),
        cache=cache,
        tuples=tuple(tuples),
    )


def blocks_of(model: Any, site: EditSite) -> list[Any]:
    """Return the decoder's blocks, among which the site's is."""
    return list(model.get_submodule(site.block.rpartition(".")[0]))


def padded(rows: Sequence[Sequence[int]], device: Any) -> Tensor:
    """Pad on the right with each row's last token: (R, T) int64. Causal attention ignores it."""
    T = max(len(row) for row in rows)
    return on_device([[*row, *([row[-1]] * (T - len(row)))] for row in rows], device)
