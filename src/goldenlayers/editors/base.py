"""`Base`: which model an edit belongs on, told by its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from goldenlayers.editors.samples import close, dtype_name, is_plain, sample, short, shorts
from goldenlayers.editors.weights import weight_of
from goldenlayers.errors import EditError, SiteError
from goldenlayers.models.identity import ModelIdentity, identify

NAMED = 3
# what a parameter's short hash was before edits that are known to be on it, or None
Before = Callable[[str], str | None]


@dataclass(frozen=True)
class Fingerprint:
    """What a weight looks like.

    Attributes:
        sha256: Of its bytes, row by row, little-endian.
        dtype: Such as "float32".
        shape: As it is stored.
        sample: 64 of its values, at `goldenlayers.editors.samples.positions`, so that the same
            weight is known again in another dtype.
    """

    sha256: str
    dtype: str
    shape: tuple[int, ...]
    sample: tuple[float, ...]

    def agrees(self, other: Fingerprint) -> bool:
        """Whether both are the same weight: by hash, or across dtypes by the sample."""
        if self.shape != other.shape:
            return False
        if self.dtype == other.dtype:
            return self.sha256 == other.sha256
        return close(self.values, other.values, self.dtype, other.dtype)

    def fits(self, weight: Tensor) -> bool:
        """Whether `weight` is this weight; as `agrees`, but hashes only if it has to."""
        if self.shape != tuple(weight.shape):
            return False
        if self.dtype != dtype_name(weight):
            return close(self.values, sample(weight), self.dtype, dtype_name(weight))
        return torch.equal(self.values, sample(weight)) and self.sha256 == digest(weight)

    def proves(self, weight: Tensor) -> bool:
        """Whether `weight` is this weight to the last bit.

        In another dtype it is if no number is lost on the way: a bfloat16 checkpoint holds the same
        numbers when it is loaded in float32.
        """
        if self.shape != tuple(weight.shape):
            return False
        here = weight.detach().to(getattr(torch, self.dtype))
        return torch.equal(here.to(weight.dtype), weight) and self.sha256 == digest(here)

    @property
    def values(self) -> Tensor:
        """The sample, (n,) float64."""
        return torch.tensor(self.sample, dtype=torch.float64)

    @property
    def short(self) -> str:
        """The hash that `Base.others` would hold of this weight."""
        return short(self.values)


@dataclass(frozen=True)
class Base:
    """Which model an edit belongs on.

    Attributes:
        model: `ModelIdentity.to_dict()` of the model that it was made on; for people to read.
        weights: Fingerprint of each weight that the edit changes, by the site's name, unedited.
        others: A short hash of each parameter that the edit does not change, by its name; see
            `goldenlayers.editors.samples.short`. Empty in files of older versions.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Fingerprint] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What a person calls the model."""
        return str(self.model.get("title") or self.model.get("name") or "an unnamed model")

    def check(self, model: Any, before: Before | None = None) -> None:
        """Refuse a model that is not the base.

        The weights that the edit changes: see `check_weights`. Of every other parameter, 64 values
        rounded to bfloat16 must agree, so that the same checkpoint in float32 and in bfloat16 does;
        a change that is smaller than that rounding is not seen. They are not compared where one
        side is in float16 and the other is not, because a number that was rounded to float16 first
        may round to another bfloat16, nor for an edit of an older version, which does not hold
        them. Parameters that are quantised or on the meta device are skipped.

        Args:
            model: The model.
            before: Given a parameter's name, its short hash before edits that are known to be on
                it; the edit may have been made on the model with them or without.

        Raises:
            EditError: If a weight is missing or is not the one that the edit was made on.
        """
        self.check_weights(model)
        dtypes = [f.dtype for f in self.weights.values()]
        if comparable([*dtypes, *(dtype_name(weight_of(model, name)) for name in self.weights)]):
            self._check_others(model, before)

    def check_weights(self, model: Any) -> None:
        """Refuse a model whose weights at the edit's sites are not the base's.

        In the dtype that the edit was made in, every byte of each must agree. In another dtype, 64
        values of each must agree within the coarser dtype's rounding: the same checkpoint loaded in
        bfloat16 is a legitimate base.

        Raises:
            EditError: If a weight is missing or is not the one that the edit was made on.
        """
        for name, expected in self.weights.items():
            try:
                weight = weight_of(model, name)
            except SiteError as error:
                raise EditError(f"the edit was made on {self.title}: {error}") from error
            if expected.fits(weight):
                continue
            dtype = dtype_name(weight)
            if expected.shape != tuple(weight.shape):
                what = f"has the shape {tuple(weight.shape)}, expected {expected.shape}"
            elif expected.dtype == dtype:
                what = (
                    f"has the SHA-256 {digest(weight)[:12]}… ({dtype}), "
                    f"expected {expected.sha256[:12]}…"
                )
            else:
                off = float((expected.values - sample(weight)).abs().max())
                what = (
                    f"({dtype}) differs from the expected weight ({expected.dtype}) by up to "
                    f"{off:.2g}, which is more than rounding"
                )
            raise EditError(
                f"this model is not the base of the edit, {self.title}: the weight of {name!r} "
                f"{what}. Give the model that the edit was made on; if other edits are on it, take "
                "them off first, or compose the edits and apply them together"
            )

    def _check_others(self, model: Any, before: Before | None) -> None:
        there = dict(model.named_parameters(remove_duplicate=False))
        found = shorts((name, there[name]) for name in self.others if name in there)
        differ = []
        for name, expected in self.others.items():
            if name in there and not is_plain(there[name]):
                continue
            if found.get(name) == expected or (before is not None and before(name) == expected):
                continue
            differ.append(name)
        if differ:
            named = ", ".join(map(repr, differ[:NAMED])) + (" …" if len(differ) > NAMED else "")
            raise EditError(
                f"this model is not the base of the edit, {self.title}: {len(differ)} of "
                f"{len(self.others)} parameters that the edit does not change are missing or hold "
                f"other numbers ({named}). Give the model that the edit was made on; if other "
                "edits are on this model, or were on that one, compose the edits and apply them "
                "together"
            )


def comparable(dtypes: Iterable[str]) -> bool:
    """Whether short hashes can be compared: of some dtypes, all are float16 or none is."""
    return len({dtype == "float16" for dtype in dtypes}) == 1


def base_of(
    model: Any, names: Iterable[str], identity: ModelIdentity | Mapping[str, Any] | None = None
) -> Base:
    """Take the fingerprints of a model's weights.

    About a second per GB of the named weights, and milliseconds for all the others. Parameters that
    are tied count once, under their first name.

    Args:
        model: The model, unedited.
        names: Names of the edit sites.
        identity: Which model it is; made from its configuration if not given.

    Raises:
        SiteError: If there is no such site.
        EditError: If a weight holds numbers that are not finite.
    """
    if identity is None:
        identity = identify(model)
    if isinstance(identity, ModelIdentity):
        identity = identity.to_dict()
    changed = {name: weight_of(model, name) for name in names}
    ids = {id(weight) for weight in changed.values()}
    others = shorts((n, p) for n, p in model.named_parameters() if changed and id(p) not in ids)
    weights = {name: fingerprint(weight) for name, weight in changed.items()}
    return Base(dict(identity), weights, others)


def fingerprint(weight: Tensor) -> Fingerprint:
    """Return the fingerprint of a weight.

    Raises:
        EditError: If the sample holds a number that is not finite.
    """
    values = sample(weight)
    if not torch.isfinite(values).all():
        raise EditError("the weight holds NaN or infinity; expected a sound model")
    return Fingerprint(
        digest(weight), dtype_name(weight), tuple(weight.shape), tuple(values.tolist())
    )


def digest(weight: Tensor) -> str:
    """Return the SHA-256 of a weight's bytes."""
    flat = weight.detach().cpu().contiguous().reshape(-1)
    return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()
