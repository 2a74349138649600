"""What is on a model that was edited in place, and its tensors from before.

A model in memory cannot say which edits it carries, and adding and subtracting a factor is not
exact. So the tensor that an edit replaces is kept, not copied, for as long as the model lives.
Edits that came one on top of another can be taken off in any order: those that stay are put onto
the kept tensor again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor

from goldenlayers.editors.base import digest
from goldenlayers.editors.samples import sample, short
from goldenlayers.editors.update import Update
from goldenlayers.editors.weights import edited, weight_of


@dataclass(frozen=True)
class Entry:
    """The state of one weight.

    Attributes:
        base: The tensor from before the first edit.
        updates: What was put on it since, in this order.
        sha256: Of the bytes that the last one left; if they are others by now, somebody else has
            changed the weight and the entry is worth nothing.
    """

    base: Tensor
    updates: tuple[Update, ...]
    sha256: str


# keyed by the model itself: gone when the model is
_ENTRIES: WeakKeyDictionary[Any, dict[str, Entry]] = WeakKeyDictionary()


def entry(model: Any, name: str) -> Entry | None:
    """Return what is known of a weight, or None if nothing is known that still holds."""
    found = _ENTRIES.get(model, {}).get(name)
    if found is None or found.sha256 != digest(weight_of(model, name)):
        return None
    return found


def before(model: Any, parameter: str) -> str | None:
    """Return the short hash that a parameter had before the edits that are known to be on it."""
    site = parameter.removesuffix(".weight")
    found = entry(model, site) if site in _ENTRIES.get(model, {}) else None
    return None if found is None else short(sample(found.base))


def carries(model: Any, update: Update) -> bool:
    """Whether this very update is known to be on the model."""
    found = entry(model, update.name)
    return found is not None and update in found.updates


def after_putting_on(model: Any, update: Update, new: Tensor) -> Entry:
    """Return the entry for a weight that is about to become `new` by one more update."""
    known = entry(model, update.name)
    base = known.base if known else weight_of(model, update.name).data
    return Entry(base, (*(known.updates if known else ()), update), digest(new))


def after_taking_off(model: Any, update: Update) -> Entry | None:
    """Return the entry for a weight without one of its updates, or None if that is not known."""
    known = entry(model, update.name)
    if known is None or update not in known.updates:
        return None
    at = known.updates.index(update)
    rest = known.updates[:at] + known.updates[at + 1 :]
    return Entry(known.base, rest, digest(replayed(known.base, rest)))


def replayed(base: Tensor, updates: tuple[Update, ...]) -> Tensor:
    """Put updates onto a tensor, one after another; without any, it is `base` itself."""
    for update in updates:
        base = edited(base, update)
    return base


def record(model: Any, entries: dict[str, Entry]) -> None:
    """Write down the new entries of some weights; those without updates are forgotten."""
    known = _ENTRIES.setdefault(model, {})
    known.update(entries)
    for name in [n for n, e in known.items() if not e.updates]:
        del known[name]


def forget(model: Any, name: str) -> None:
    """Drop what is known of a weight."""
    _ENTRIES.get(model, {}).pop(name, None)
