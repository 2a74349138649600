"""The growing batch: all layers of a fact side by side, each row joining at its own layer.

A change at layer l leaves everything below l as it was. So the rows of layer l enter the batch at
block l, with the hidden state that the clean model has there: below, they are not computed at all.
The batch grows from block to block; every group of rows, one group per layer, carries its own
change, and one forward and one backward pass serve all of them. A group that is done is left out
of the next run.

Two kinds of change fit:
  - a value that is being trained: it touches positions from the subject's last token on, so keys
    and values of earlier positions are constants, reused by all groups (see `tails`);
  - a finished weight edit: it touches every position from its layer up, so rows are whole and
    nothing above the layer is reused.

The model's own forward runs, as for one layer; what it hands to a block for all rows (masks,
positions) is cut to the rows that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from goldenlayers.models.sites import EditSite

# Changes a site's output: given its input (R, T, d_in) and output (R, T, d_out) for the rows of the
# layer's own group.
Change = Callable[[Tensor, Tensor], Tensor]


@contextmanager
def growing(
    model: Any,
    groups: Sequence[tuple[EditSite, Tensor, Change]],
    tuples: Sequence[int | None],
) -> Iterator[None]:
    """While open, a forward pass of `model` over G groups of R rows grows from group to group.

    The pass must be given G * R rows, R per group in the order of the groups; what it is given
    beside (mask, positions) must be the same for each group.

    Args:
        model: A causal language model of transformers.
        groups: Per layer, shallow first: its edit site; the hidden state that enters its block,
            (R, T, d); and the change that its rows carry.
        tuples: For each block, the length of the tuple that it returns, None for a tensor.
    """
    G, R = len(groups), groups[0][1].shape[0]
    first = groups[0][0].layer
    blocks = list(model.get_submodule(groups[0][0].block.rpartition(".")[0]))
    members = {site.layer: (g, hidden) for g, (site, hidden, _) in enumerate(groups)}

    def enter(layer: int, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        state = args[0] if args else kwargs["hidden_states"]
        there = sum(site.layer < layer for site, _, _ in groups)  # groups that came in before
        state = state[: there * R]
        if layer in members:
            state = torch.cat([state, members[layer][1].to(state.device)])
            there += 1
        rest = tuple(_cut(a, there, G, R) for a in args[1:])
        named = {k: _cut(v, there, G, R) for k, v in kwargs.items() if k != "hidden_states"}
        return ((state, *rest), named) if args else ((), named | {"hidden_states": state})

    def change(layer: int, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        g, hidden = members[layer]
        n, T = (g + 1) * R, hidden.shape[1]
        out, keys = output.reshape(n, T, -1), args[0].reshape(n, T, -1)
        own = groups[g][2](keys[g * R :], out[g * R :])  # (R, T, d_out)
        return torch.cat([out[: g * R], own]).reshape(output.shape)

    with ExitStack() as stack:
        for layer, block in enumerate(blocks):
            if layer < first:
                stack.enter_context(_passed_over(block, tuples[layer]))
                continue
            hook = _bound(enter, layer)
            handle = block.register_forward_pre_hook(hook, with_kwargs=True)
            stack.callback(handle.remove)
        for site, _, _ in groups:
            handle = model.get_submodule(site.name).register_forward_hook(
                _bound(change, site.layer)
            )
            stack.callback(handle.remove)
        yield


def _bound(function: Callable[..., Any], layer: int) -> Callable[..., Any]:
    return lambda *args: function(layer, *args)


def _cut(value: Any, there: int, G: int, R: int) -> Any:
    """Cut what was made for G * R rows to the `there * R` rows of this block."""
    if isinstance(value, tuple):
        return tuple(_cut(v, there, G, R) for v in value)
    if isinstance(value, Tensor) and value.dim() > 1 and there < G:
        # Bloom's ALiBi has rows times heads in front
        times, rest = divmod(value.shape[0], G * R)
        if times and not rest:
            return value[: there * R * times]
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
