"""Keys, outputs and the trained value of one fact at one layer, prefix reuse where it works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from goldenlayers.editors.edit import Step
from goldenlayers.editors.fact_rows import FactRows
from goldenlayers.editors.value import (
    MismatchError,
    OnLayerStep,
    Runs,
    Value,
    ValueSettings,
    train_values,
)
from goldenlayers.errors import EditError
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.tails import Tails, WholeRows

VALUES_FROM = ("prompt", "mean")
# What a model that the cache does not suit may raise. Running out of memory is a RuntimeError too,
# and is let through: whole rows need more.
UNSUITED = (MismatchError, RuntimeError, TypeError, ValueError, AttributeError, KeyError)


@dataclass(frozen=True)
class FactValue:
    """What an update is made of.

    Attributes:
        keys: (templates, d_in) inputs of the site at the subject's last token, bare prompt first;
            float32 or wider.
        outputs: (templates, d_out) its outputs there, bias included; the same dtype.
        v0: (d_out,) what delta was added to.
        value: The trained delta.
        runs: The rows that were run, for what they cost.
        computed: "prefix reuse" or "whole rows", and why.
    """

    keys: Tensor
    outputs: Tensor
    v0: Tensor
    value: Value
    runs: Runs
    computed: str

    def details(self) -> dict[str, Any]:
        """Return what an outcome tells of it, ready for JSON."""
        return {
            "computed": self.computed,
            "tokens": {"clean_pass": self.runs.clean.tokens, "each_step": self.runs.tokens},
            "value_norm": float(self.value.delta.norm()),
            "v0_norm": float(self.v0.norm()),
        }


def fact_values(
    model: Any,
    sites: Sequence[EditSite],
    rows: FactRows,
    settings: ValueSettings,
    *,
    value_from: str,
    prefix_reuse: bool,
    on_step: OnLayerStep,
) -> list[FactValue]:
    """Train a fact's value at each of some sites, side by side.

    Args:
        model: The model, frozen and in evaluation mode.
        sites: The edit sites, shallow first.
        rows: The fact's rows.
        settings: How the values are trained.
        value_from: v0 is the site's output for the bare "prompt", or the "mean" over templates.
        prefix_reuse: Whether to try it; a model that it does not suit is run the plain way.
        on_step: Called after each evaluation of a loss; what it raises goes through.

    Raises:
        EditError: If the model gives numbers that are not finite before anything is changed.
    """
    how = "whole rows"
    if prefix_reuse:
        try:
            tails = Tails(model, sites, rows.fed, rows.reads)
            return _trained(
                tails, rows, settings, value_from, _guarded(on_step), "prefix reuse", check=True
            )
        except _CallerError as error:
            raise error.cause from None
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except UNSUITED as error:
            how = f"whole rows, because prefix reuse failed: {type(error).__name__} {error}"[:300]
    whole = WholeRows(model, sites, rows.fed, rows.reads)
    return _trained(whole, rows, settings, value_from, on_step, how, check=False)


class _CallerError(Exception):
    """An error of the caller's own `on_step`, which must not be taken for one of ours."""

    def __init__(self, cause: Exception):
        self.cause = cause


def _guarded(on_step: OnLayerStep) -> OnLayerStep:
    def call(layer: int, step: Step, delta: Tensor) -> None:
        try:
            on_step(layer, step, delta)
        except Exception as error:
            raise _CallerError(error) from error

    return call


def _trained(
    runs: Runs,
    rows: FactRows,
    settings: ValueSettings,
    value_from: str,
    on_step: OnLayerStep,
    how: str,
    *,
    check: bool,
) -> list[FactValue]:
    clean, n = runs.clean, rows.n_templates
    for what, xs in (("logits", [clean.logits]), ("keys", clean.keys), ("outputs", clean.outputs)):
        if not all(torch.isfinite(x).all() for x in xs):
            raise EditError(
                f"the model's {what} are not finite in {xs[0].dtype} before anything is changed; "
                "load it in a wider dtype, or take earlier edits off"
            )
    keys, outputs = ([_wide(x[:n]) for x in xs] for xs in (clean.keys, clean.outputs))
    v0s = [x[0] if value_from == "prompt" else x.mean(0) for x in outputs]
    expected = clean.logits if check else None
    values = train_values(runs, rows.targets, v0s, settings, expected=expected, on_step=on_step)
    return [FactValue(*parts, runs, how) for parts in zip(keys, outputs, v0s, values, strict=True)]


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
