"""Taking an edit off: bit for bit where the unedited weight can be had, else within a bound.

Subtracting what was added does not give back the same numbers. With u half the spacing of the
weight's dtype at 1, w' = round(w + dW) and r = round(w' - dW) satisfy

    |r - w| <= u |w'| + u |r| + errors of dW,

so the bound is known for every element from w' and r alone. Another candidate c for w, such as the
weight of a base that only a sample speaks for, is off by |c - r| more at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from goldenlayers.editors import ledger
from goldenlayers.editors.base import Base
from goldenlayers.editors.samples import close, dtype_name, positions, sample
from goldenlayers.editors.update import Update
from goldenlayers.editors.weights import edited, exchange, weight_of
from goldenlayers.errors import EditError

KEPT = "the tensors that were put aside when it was applied"
BASE = "the base model's tensors"
SUBTRACTED = "subtracting the factors"
# the base's weight in another dtype than the edit's or the model's: a sample agrees, no hash can
LIKELY = "putting back the base model's tensors, which another dtype leaves unproved"
UNCHANGED = "the weights as they are, for the edit is too small to change them"


@dataclass(frozen=True)
class Reverted:
    """How an edit was taken off.

    Attributes:
        exact: Whether every weight is now bit for bit what it was without the edit.
        tolerance: Else, a bound on how far any number of any weight is from that.
        relative: The same as a share of the weight: the greatest ratio, over the weights, of the
            Frobenius norm of the bound to that of the weight.
        how: Where the numbers came from.
    """

    exact: bool
    tolerance: float | None
    relative: float | None
    how: str

    def __str__(self) -> str:
        if self.exact:
            return f"exact, bit for bit, from {self.how}"
        return (
            f"not exact: by {self.how}, every number within {self.tolerance:.2g} of what it was "
            f"({self.relative:.2g} of the weight's norm)"
        )


@dataclass(frozen=True)
class _Plan:
    weight: torch.nn.Parameter
    new: Tensor
    how: str
    entry: ledger.Entry | None = None
    bound: float = 0.0
    ratio: float = 0.0
    exact: bool = True


def revert(
    updates: Sequence[Update],
    expected: Base,
    model: Any,
    base: Any | None = None,
    *,
    check: bool = True,
    roundings: int = 4,
) -> Reverted:
    """Take updates off a model in place; see `Edit.revert`.

    Args:
        updates: What to take off.
        expected: The base that they were made on.
        model: The edited model.
        base: The model without the edit.
        check: Refuse if the model's weights are not base plus edit.
        roundings: How many roundings may lie between the weights and base plus edit.
    """
    if base is not None:
        expected.check_weights(base)  # the others stay as they are, whatever they are
    plans = []
    for update in updates:
        plan = _from_kept(model, update) or _unchanged(model, update, expected)
        if plan is None and check:
            require_on(model, update, expected, base, roundings)
        if plan is None and base is not None and (check or _is_on(model, update, base, roundings)):
            plan = _from_base(model, update, expected, base)
        plans.append(plan or _by_subtraction(model, update, expected))
    exchange([(plan.weight, plan.new) for plan in plans])
    for update, plan in zip(updates, plans, strict=True):
        if plan.entry is None:
            ledger.forget(model, update.name)
    ledger.record(model, {u.name: p.entry for u, p in zip(updates, plans, strict=True) if p.entry})
    how = " and ".join(dict.fromkeys(plan.how for plan in plans)) or "nothing, for it changes none"
    if all(plan.exact for plan in plans):
        return Reverted(True, None, None, how)
    return Reverted(False, max(p.bound for p in plans), max(p.ratio for p in plans), how)


def _from_kept(model: Any, update: Update) -> _Plan | None:
    entry = ledger.after_taking_off(model, update)
    if entry is None:
        return None
    weight = weight_of(model, update.name)
    new = ledger.replayed(entry.base, entry.updates).to(weight.device)
    return _Plan(weight, new, KEPT, entry)


def _unchanged(model: Any, update: Update, expected: Base) -> _Plan | None:
    """Return the weight itself if it is the base's and the update rounds away in its dtype."""
    weight = weight_of(model, update.name)
    known = expected.weights[update.name]
    if not known.fits(weight) or not known.proves(weight):
        return None
    if not torch.equal(edited(weight, update), weight):
        return None
    return _Plan(weight, weight.data, UNCHANGED)


def _from_base(model: Any, update: Update, expected: Base, base: Any) -> _Plan:
    weight, clean = weight_of(model, update.name), weight_of(base, update.name).detach()
    if torch.promote_types(clean.dtype, weight.dtype) != clean.dtype:
        return _by_subtraction(model, update, expected)  # its numbers are coarser than the model's
    with torch.inference_mode(False):
        new = clean.to(weight.device, weight.dtype, copy=True)
    if clean.dtype == weight.dtype and expected.weights[update.name].proves(clean):
        return _Plan(weight, new, BASE)
    return _by_subtraction(model, update, expected, new)


def _by_subtraction(
    model: Any, update: Update, expected: Base, likely: Tensor | None = None
) -> _Plan:
    """Subtract the update; or put `likely` there, with a bound that does not trust it."""
    weight = weight_of(model, update.name)
    new = edited(weight, update, sign=-1.0)
    wide = torch.promote_types(weight.dtype, torch.float32)
    fine, coarse = torch.finfo(wide).eps / 2, torch.finfo(weight.dtype).eps / 2
    # the sum is rounded to the wide dtype, and then to the weight's, if that is another
    once = coarse if wide == weight.dtype else coarse + fine
    made_in = expected.weights[update.name].dtype
    # a checkpoint that was read in another dtype went through one rounding more on either side
    times = 1 if made_in == dtype_name(weight) else 2
    size = weight.detach().to(wide).abs() + new.to(wide).abs()
    # dW itself is summed with an error, when put on and when taken off, perhaps on other hardware
    bound = times * once * size + 2 * update.rank * fine * _terms(update, weight, wide)
    bound = 1.01 * bound + times * torch.finfo(weight.dtype).smallest_normal * coarse * 2
    if likely is not None:
        bound = bound + 1.01 * (likely.to(wide) - new.to(wide)).abs()
        new = likely
    most = float(bound.max())
    if not (math.isfinite(most) and bool(torch.isfinite(new).all())):
        raise EditError(
            f"{update.name!r}: taking the edit off would leave numbers that are not finite; "
            "give the base model"
        )
    norm = float(new.to(wide).norm())
    ratio = float(bound.norm()) / norm if norm else math.inf
    how = SUBTRACTED if likely is None else LIKELY
    return _Plan(weight, new, how, None, most, ratio, exact=False)


def _terms(update: Update, weight: Tensor, wide: torch.dtype) -> Tensor:
    """Return the sums of the magnitudes of dW's terms, in the weight's layout."""
    left = update.left.to(weight.device, wide).abs()  # (d_out, r)
    right = update.right.to(weight.device, wide).abs()  # (d_in, r)
    return right @ left.T if update.transposed else left @ right.T


def _is_on(model: Any, update: Update, base: Any, roundings: int) -> bool:
    """Whether the model's weight is the base's plus the update, but for some roundings."""
    weight = weight_of(model, update.name).detach()
    clean = weight_of(base, update.name).detach().to(weight.device)
    if clean.shape != weight.shape:
        return False
    there, apart = weight.double(), edited(clean.double(), update)
    worst = torch.maximum(clean.double().abs(), torch.maximum(there.abs(), apart.abs()))
    coarse = max((torch.finfo(d) for d in (weight.dtype, clean.dtype)), key=lambda info: info.eps)
    allowed = roundings * coarse.eps / 2 * (worst + coarse.smallest_normal)
    allowed += _summing_error(update, dtype_name(weight), _terms(update, weight, torch.float64))
    return bool(((there - apart).abs() <= allowed).all())


def require_on(
    model: Any, update: Update, expected: Base, base: Any | None, roundings: int
) -> None:
    """Refuse a model that does not carry the update, or carries more than it.

    Raises:
        EditError: If so.
    """
    weight = weight_of(model, update.name)
    known, dtype = expected.weights[update.name], dtype_name(weight)
    bare = known.fits(weight)
    if base is not None:
        on = _is_on(model, update, base, roundings)
        if bare and known.dtype != dtype:  # a sample alone is no proof, and the base is at hand
            bare = torch.equal(weight, weight_of(base, update.name).to(weight.device, weight.dtype))
    else:
        on = known.shape == tuple(weight.shape) and carries_sample(
            known.values, sample(weight), update, known.dtype, dtype, roundings
        )
    if bare and on and known.dtype != dtype:
        if torch.equal(edited(weight, update, sign=-1.0), weight):
            return  # it rounds away: with it and without it are the same
        if base is None:
            raise EditError(
                f"whether the edit is on this model cannot be told: it was made in {known.dtype}, "
                f"and in {dtype} it hardly changes the weight of {update.name!r}. Give the base "
                "model, or check=False to subtract the edit"
            )
    if bare:
        raise EditError(
            f"the edit is not on this model: the weight of {update.name!r} is that of the base, "
            f"{expected.title}. Give the edited model"
        )
    if not on:
        raise EditError(
            f"the weight of {update.name!r} is not that of the base, {expected.title}, plus this "
            "edit: it is another model, or other edits are on it too. Take those off first, or "
            "give check=False to subtract the edit from whatever is there"
        )


def carries_sample(
    before: Tensor,
    after: Tensor,
    update: Update,
    made_in: str,
    dtype: str,
    roundings: float,
) -> bool:
    """Whether one sample, (n,) float64, is another plus the update at the sampled positions."""
    delta, terms = update.at(positions(update.shape[0] * update.shape[1]))  # (n,), (n,)
    names = (made_in, dtype)
    # the numbers that were rounded on the way may be greater than those that are left
    coarse = max(torch.finfo(getattr(torch, name)).eps for name in names) / 2
    slack = roundings * coarse * before.abs() + _summing_error(update, names[1], terms)
    return close(after, before + delta, *names, roundings=roundings, slack=slack)


def _summing_error(update: Update, dtype: str, terms: Tensor) -> Tensor:
    """Return how far dW, summed in float32 or wider, is from exact, put on or taken off."""
    wide = torch.promote_types(getattr(torch, dtype), torch.float32)
    return 2 * update.rank * torch.finfo(wide).eps / 2 * terms
