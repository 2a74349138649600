"""Several edits as one, and one edit taken out of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from goldenlayers.editors.base import NAMED, Base, Fingerprint, comparable
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.factors import side_by_side
from goldenlayers.editors.revert import carries_sample
from goldenlayers.editors.update import Update
from goldenlayers.errors import EditError

BESIDE, ON_TOP = "beside", "on top"
# where the settings of an edit list those of the edits that it was composed of
COMPOSED = "composed"


def compose(edits: Iterable[Edit]) -> Edit:
    """Put edits together; see `Edit.compose`."""
    parts = list(edits)
    if not parts:
        raise EditError("no edit was given; expected one or more to compose")
    total = parts[0]
    for part in parts[1:]:
        total = _pair(total, part)
    if len(parts) == 1:
        return total
    editor, settings = _told([source for part in parts for source in _sources(part)])
    return replace(total, editor=editor, settings=settings)


def without(total: Edit, part: Edit) -> Edit | None:
    """Take one edit out of a composed one.

    Args:
        total: Edits that were composed.
        part: One that is among them: its factors stand side by side in those of `total`.

    Returns:
        What is left, on the same base; None if nothing is.

    Raises:
        EditError: If `part` is not in `total`.
    """
    rest: list[Update] = []
    inside = {update.name: update for update in part.updates}
    for update in total.updates:
        taken = inside.pop(update.name, None)
        if taken is None:
            rest.append(update)
            continue
        left = _cut_out(update, taken)
        if left is not None:
            rest.append(left)
    if inside:
        raise _not_inside(next(iter(inside)))
    outcomes = list(total.outcomes)
    for outcome in part.outcomes:
        if outcome in outcomes:
            outcomes.remove(outcome)
    if not rest:
        return None
    weights = {u.name: total.base.weights[u.name] for u in rest}
    others = dict(total.base.others)
    for name, known in total.base.weights.items():
        alike = comparable(f.dtype for f in (known, *weights.values()))
        if others and name not in weights and alike:
            others[f"{name}.weight"] = known.short
    sources, gone = _sources(total), _sources(part)
    editor, settings = _told([s for s in sources if s not in gone] or sources)
    return replace(
        total,
        editor=editor,
        settings=settings,
        seconds={k: max(0.0, t - part.seconds.get(k, 0.0)) for k, t in total.seconds.items()},
        updates=tuple(rest),
        outcomes=tuple(outcomes),
        base=replace(total.base, weights=weights, others=others),
    )


def _cut_out(update: Update, part: Update) -> Update | None:
    rank = part.rank
    for at in range(update.rank - rank + 1):
        here = slice(at, at + rank)
        same = torch.equal(update.left[:, here], part.left.to(update.left.dtype))
        if same and torch.equal(update.right[:, here], part.right.to(update.right.dtype)):
            keep = [i for i in range(update.rank) if not at <= i < at + rank]
            if not keep:
                return None
            return replace(
                update,
                left=update.left[:, keep],
                right=update.right[:, keep],
                keys=_keys_without(update.keys, part.keys),
            )
    raise _not_inside(update.name)


def _keys_without(keys: Tensor | None, part: Tensor | None) -> Tensor | None:
    """Return (d_in, n) keys without those of a part, (d_in, m), which stand together."""
    if keys is None or part is None:
        return keys
    n, m = keys.shape[1], part.shape[1]
    for at in range(n - m + 1):
        if torch.equal(keys[:, at : at + m], part.to(keys.dtype)):
            rest = torch.cat([keys[:, :at], keys[:, at + m :]], dim=1)
            return rest if rest.shape[1] else None
    return keys


def _not_inside(name: str) -> EditError:
    return EditError(
        f"the edit is not among those on this model: its factors for {name!r} are not there; "
        "give an edit that was applied, or none to take all of them off"
    )


def _pair(a: Edit, b: Edit) -> Edit:
    _require_same_model(a.base, b.base)
    mine = {update.name: update for update in a.updates}
    relations = {}
    for update in b.updates:
        if update.name in mine:
            relation = _relation(a.base, b.base, mine[update.name], update, len(a.outcomes))
            if relation:
                relations[update.name] = relation
    _require_same_elsewhere(a.base, b.base)
    if len(set(relations.values())) > 1:
        listing = ", ".join(f"{name} {relation}" for name, relation in relations.items())
        raise EditError(
            f"the edits do not belong together: the second was made beside the first at some "
            f"weights and on top of it at others ({listing})"
        )
    changed = {f"{name}.weight" for name in b.base.weights}
    groups = [_wide(e.updates, _widest(a, b)) for e in (a, b)]
    return Edit(
        editor=a.editor,
        updates=side_by_side(*groups),
        outcomes=a.outcomes + b.outcomes,
        settings=a.settings,
        base=Base(
            a.base.model,
            {**b.base.weights, **a.base.weights},
            {name: h for name, h in a.base.others.items() if name not in changed},
        ),
        versions=_versions(a.versions, b.versions),
        seconds={
            k: a.seconds.get(k, 0.0) + b.seconds.get(k, 0.0) for k in {**a.seconds, **b.seconds}
        },
    )


def _relation(a: Base, b: Base, first: Update, second: Update, edits: int) -> str | None:
    """Return how the second edit stands to the first at one weight; None if it cannot be told."""
    before, found = a.weights[first.name], b.weights[second.name]
    if first.shape != second.shape or first.transposed is not second.transposed:
        raise EditError(
            f"the edits are for weights of different shapes at {first.name!r}: {first.shape} and "
            f"{second.shape}; compose edits of one model"
        )
    beside = before.agrees(found)
    on_top = before.shape == found.shape and _became(before, found, first, max(4, edits + 2))
    if beside and on_top:
        return None
    if not (beside or on_top):
        raise EditError(
            f"the edits do not belong together: the second was made on a model whose weight of "
            f"{first.name!r} is neither that of {a.title} nor that with the first edit on it. "
            "Compose edits of one base, or in the order in which they were made"
        )
    return BESIDE if beside else ON_TOP


def _became(before: Fingerprint, after: Fingerprint, update: Update, roundings: int) -> bool:
    """Whether the update has turned one weight into the other, but for roundings."""
    return carries_sample(before.values, after.values, update, before.dtype, after.dtype, roundings)


def _require_same_model(a: Base, b: Base) -> None:
    for key in ("architecture", "parameters"):
        mine, other = a.model.get(key), b.model.get(key)
        if mine and other and mine != other:
            raise EditError(
                f"the edits are for different models: {a.title} ({key} {mine}) and "
                f"{b.title} ({key} {other}); compose edits of one base"
            )


def _require_same_elsewhere(a: Base, b: Base) -> None:
    """Refuse edits whose bases differ where the first edit has changed nothing.

    Where it has, and the second has not, nothing is compared: the second may have been made with
    the first or without, and what rounding made of the first cannot be told from a hash.
    """
    fingerprints = [*a.weights.values(), *b.weights.values()]
    if not (a.others and b.others and comparable(f.dtype for f in fingerprints)):
        return
    theirs = {**b.others, **{f"{name}.weight": f.short for name, f in b.weights.items()}}
    differ = [name for name in a.others.keys() & theirs.keys() if a.others[name] != theirs[name]]
    if differ:
        named = ", ".join(map(repr, sorted(differ)[:NAMED]))
        raise EditError(
            f"the edits do not belong together: they were made on models that differ in "
            f"{len(differ)} parameters that the first edit does not change ({named}"
            f"{' …' if len(differ) > NAMED else ''}). Compose edits of one base, or in the order "
            "in which they were made"
        )


def _widest(*edits: Edit) -> torch.dtype:
    wide = any(u.left.dtype == torch.float64 for edit in edits for u in edit.updates)
    return torch.float64 if wide else torch.float32


def _wide(updates: Sequence[Update], dtype: torch.dtype) -> list[Update]:
    return [replace(u, left=u.left.to(dtype), right=u.right.to(dtype)) for u in updates]


def _sources(edit: Edit) -> list[dict[str, Any]]:
    """Return who made what of an edit, one entry for each edit that was composed."""
    listed = edit.settings.get(COMPOSED)
    if isinstance(listed, list) and all(isinstance(source, dict) for source in listed):
        return [dict(source) for source in listed]
    facts = [outcome.fact.id for outcome in edit.outcomes]
    return [{"editor": edit.editor, "facts": facts, "settings": dict(edit.settings)}]


def _told(sources: Sequence[Mapping[str, Any]]) -> tuple[str, Mapping[str, Any]]:
    """Return editor and settings of an edit that was composed of those."""
    editor = " + ".join(dict.fromkeys(str(source.get("editor")) for source in sources))
    first = sources[0].get("settings")
    if isinstance(first, Mapping) and all(source.get("settings") == first for source in sources):
        return editor, first
    return editor, {COMPOSED: list(sources)}


def _versions(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, str]:
    """Join the versions: where they differ, both are named."""
    joined = {}
    for key in {**a, **b}:
        values = dict.fromkeys(v for m in (a, b) if key in m for v in m[key].split(", "))
        joined[key] = ", ".join(values)
    return joined
