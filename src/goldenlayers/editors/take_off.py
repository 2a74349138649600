"""Taking one edit off a model that carries several."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from goldenlayers.editors.compose import without
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.revert import Reverted, require_on
from goldenlayers.editors.weights import weight_of
from goldenlayers.errors import EditError


def take_off(
    model: Any, wanted: Edit, carried: Edit | None, base: Any | None = None
) -> tuple[Reverted, Edit | None]:
    """Take `wanted` off a model, in place.

    Args:
        model: The edited model.
        wanted: What to take off.
        carried: All that the model carries, as far as its folder says; None if nothing is known.
        base: The model that `carried` or `wanted` was made on, or None.

    Returns:
        How exact it was, and what stays on the model. With the base of all that is carried, exact
        means: what stays, put onto that base at once.

    Raises:
        EditError: If `wanted` is not on the model, or `base` is another model.
    """
    rest = None if carried is None else without(carried, wanted)
    if carried is None:
        return wanted.revert(model, base), None
    if rest is None:
        return carried.revert(model, base), None
    if base is not None:
        try:
            carried.base.check(base)
        except EditError:
            # not where all of it began; then it must be where `wanted` did
            return wanted.revert(model, base), rest
        done = carried.revert(model, base)
        rest.apply(model, check=False, keep=False)
        return _rounded_again(done, model, rest), rest
    roundings = max(4, len(carried.outcomes) + 2)
    for update in carried.updates:
        require_on(model, update, carried.base, None, roundings)
    return wanted.revert(model, check=False), rest


def _rounded_again(done: Reverted, model: Any, rest: Edit) -> Reverted:
    """Widen the bound by what putting `rest` onto weights that are not exact rounds."""
    if done.exact or done.tolerance is None or done.relative is None:
        return done
    tolerance, relative = done.tolerance, done.relative
    for update in rest.updates:
        weight = weight_of(model, update.name).detach().double()
        # half a unit in the last place of the sum with the true weight, and half of that with ours
        unit = torch.finfo(weight_of(model, update.name).dtype).eps
        most = 1.01 * (done.tolerance * (1 + unit) + unit * float(weight.abs().max()))
        norm = float(weight.norm())
        tolerance = max(tolerance, most)
        relative = max(relative, most * math.sqrt(weight.numel()) / norm if norm else math.inf)
    return replace(done, tolerance=tolerance, relative=relative)
