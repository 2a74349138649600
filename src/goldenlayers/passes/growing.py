"""The growing batch: many changed runs of the same rows side by side, each joining at its layer.

A change at layer l leaves everything below l as it was. So the rows of such a run enter the batch
at block l, with the hidden state that was recorded there: below, they are not computed at all. The
batch grows from block to block; every group of rows carries its own changes, and one forward (and
one backward) pass serves all of them. A group that is done is left out of the next run.

Three kinds of change fit:
  - a value that is being trained: it touches positions from the subject's last token on, so keys
    and values of earlier positions are constants, reused by all groups (see `replay`);
  - a finished weight edit: it touches every position from its layer up, so rows are whole and
    nothing above the layer is reused;
  - a clean state put back into a corrupted run, at one layer or in a window of layers.

The model's own forward runs, as for one layer; what it hands to a block for all rows (masks,
positions) is cut to the rows that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from goldenlayers.passes.families import by_row, like

# Changes what a module gives: called with its input (n, T, d_in) and output (n, T, d_out), of the
# n rows of one group alone; returns the new output.
Change = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Joining:
    """Rows that join the batch together.

    Attributes:
        layer: The block at which they join.
        state: (n, T, d), what enters that block.
        changes: By the name of a module at that block or above: what becomes of its output.
    """

    layer: int
    state: Tensor
    changes: Mapping[str, Change] = field(default_factory=dict)


@contextmanager
def growing(
    model: Any, prefix: str, groups: Sequence[Joining], tuples: Sequence[int | None]
) -> Iterator[None]:
    """While open, a forward pass of `model` over all the groups' rows grows from block to block.

    The pass must be given as many rows as the groups have together, in their order; a mask and
    positions that it is given beside must be those of the same rows.

    Args:
        model: A causal language model of transformers.
        prefix: Name of the list of the decoder's blocks.
        groups: The groups, by their layer, shallow first.
        tuples: For each block, the length of the tuple that it returns, None for a tensor.
    """
    sizes = [len(group.state) for group in groups]
    total, first = sum(sizes), groups[0].layer
    blocks = list(model.get_submodule(prefix))

    def enter(layer: int, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        state = args[0] if args else kwargs["hidden_states"]
        before = sum(n for n, g in zip(sizes, groups, strict=True) if g.layer < layer)
        joining = [g.state.to(state.device) for g in groups if g.layer == layer]
        state = torch.cat([state[:before], *joining])
        rest = tuple(_cut(a, len(state), total) for a in args[1:])
        named = {k: _cut(v, len(state), total) for k, v in kwargs.items() if k != "hidden_states"}
        return ((state, *rest), named) if args else ((), named | {"hidden_states": state})

    def change(name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        given = args[0] if args else kwargs["hidden_states"]
        out = output[0] if isinstance(output, tuple) else output
        T = groups[0].state.shape[1]
        n = out.numel() // (T * out.shape[-1])
        there = sizes[: _count(sizes, n)]
        inputs = by_row(given, n).split(there)
        parts = list(by_row(out, n).split(there))
        for g, (x, part) in enumerate(zip(inputs, parts, strict=True)):
            if name in groups[g].changes:
                parts[g] = groups[g].changes[name](x, part)
        return like(torch.cat(parts), output)

    with ExitStack() as stack:
        for layer, block in enumerate(blocks):
            if layer < first:
                stack.enter_context(_passed_over(block, tuples[layer]))
                continue
            hook = _bound(enter, layer)
            handle = block.register_forward_pre_hook(hook, with_kwargs=True)
            stack.callback(handle.remove)
        for name in dict.fromkeys(name for group in groups for name in group.changes):
            handle = model.get_submodule(name).register_forward_hook(
                _bound(change, name), with_kwargs=True
            )
            stack.callback(handle.remove)
        yield


def _count(sizes: Sequence[int], n: int) -> int:
    """Return how many of the groups have joined when there are n rows."""
    seen = 0
    for count, size in enumerate(sizes):
        if seen == n:
            return count
        seen += size
    if seen != n:
        raise RuntimeError(f"{n} rows in a batch that grows by {list(sizes)}")
    return len(sizes)


def _bound(function: Callable[..., Any], first: Any) -> Callable[..., Any]:
    return lambda *args: function(first, *args)


def _cut(value: Any, there: int, total: int) -> Any:
    """Cut what was made for all rows to the rows that are there at this block."""
    if isinstance(value, tuple):
        return tuple(_cut(v, there, total) for v in value)
    if isinstance(value, Tensor) and value.dim() > 1 and there < total:
        # Bloom's ALiBi has rows times heads in front
        times, rest = divmod(value.shape[0], total)
        if times and not rest:
            return value[: there * times]
    return value


@contextmanager
def _passed_over(block: Any, n: int | None) -> Iterator[None]:
    """While open, `block` hands its input on; its own `forward`, where it has one, is put back."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        state = args[0] if args else kwargs["hidden_states"]
        return state if n is None else (state, *(None for _ in range(n - 1)))

    kept = block.__dict__.get("forward")
    block.forward = forward
    try:
        yield
    finally:
        if kept is None:
            block.__dict__.pop("forward", None)
        else:
            block.forward = kept
