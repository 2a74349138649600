"""Factors are added to weights: the one place where an edited weight is computed.

The edited weight is always round(base + sum of all factors of an edit), rounded once to the
weight's dtype, so that it does not depend on how many facts the edit holds or on who applies it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from goldenlayers.editors.update import Update
from goldenlayers.errors import SiteError


def weight_of(model: Any, name: str) -> torch.nn.Parameter:
    """Return the weight of the named module.

    Raises:
        SiteError: If the model has no such module, or its weight is no matrix of plain floating
            point numbers (quantised, or on the meta device).
    """
    try:
        weight = model.get_submodule(name).weight
    except AttributeError:
        raise SiteError(
            f"{type(model).__name__} has no module {name!r} with a weight; the edit is for "
            "another architecture"
        ) from None
    if not isinstance(weight, torch.nn.Parameter):
        raise SiteError(f"{name!r} of {type(model).__name__} has no plain weight to edit")
    if weight.dim() != 2 or not weight.is_floating_point() or weight.element_size() < 2:
        raise SiteError(
            f"{name!r} of {type(model).__name__}: its weight is {tuple(weight.shape)} of "
            f"{weight.dtype}; expected a matrix of 16 bits a number or more, so load the model "
            "unquantised, or with this layer among its edit_layers"
        )
    if weight.is_meta:
        raise SiteError(
            f"{name!r} of {type(model).__name__} is on the meta device and holds no numbers; "
            "load the whole model onto a CPU or GPU"
        )
    return weight


def edited(weight: Tensor, update: Update, sign: float = 1.0) -> Tensor:
    """Return round(weight + sign * left @ right.T) in the weight's layout and dtype.

    Summed in float32 or wider.

    Raises:
        SiteError: If the weight has another shape than the update.
    """
    if update.shape != tuple(weight.shape):
        raise SiteError(
            f"{update.name!r}: its weight is {tuple(weight.shape)}, the edit is for "
            f"{update.shape}; the edit is for another model"
        )
    wide = torch.promote_types(torch.promote_types(weight.dtype, torch.float32), update.left.dtype)
    # a tensor that is made in inference mode could never be trained again
    with torch.inference_mode(False), torch.no_grad():
        left = update.left.to(weight.device, wide)  # (d_out, r)
        right = update.right.to(weight.device, wide)  # (d_in, r)
        delta = right @ left.T if update.transposed else left @ right.T
        return (weight.detach().to(wide) + sign * delta).to(weight.dtype)


@contextmanager
def updates_applied(model: Any, updates: Iterable[Update]) -> Iterator[None]:
    """Hold `model` edited while open; its weights are bit for bit as before on leaving.

    The original tensor is put aside and put back: nothing is subtracted.
    """
    kept: list[tuple[torch.nn.Parameter, Tensor]] = []
    try:
        for update in updates:
            weight = weight_of(model, update.name)
            new = edited(weight, update)
            kept.append((weight, weight.data))
            weight.data = new
        yield
    finally:
        for weight, data in reversed(kept):
            weight.data = data


def exchange(pairs: Sequence[tuple[torch.nn.Parameter, Tensor]]) -> None:
    """Give each weight its new tensor, or, if that fails half-way, none of them."""
    kept = [(weight, weight.data) for weight, _ in pairs]
    try:
        for weight, new in pairs:
            weight.data = new
    except BaseException:
        for weight, old in kept:
            weight.data = old
        raise
