"""Batches of facts, one after another, each into the model as the ones before left it.

One fact at a time, all at once, and batches of any size in between are the same loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from goldenlayers.editors.factors import side_by_side
from goldenlayers.editors.numbers import require_whole
from goldenlayers.editors.outcome import Outcome
from goldenlayers.editors.protocol import Edited, Editor, EditRequest
from goldenlayers.editors.update import Update
from goldenlayers.editors.weights import updates_applied
from goldenlayers.errors import EditError
from goldenlayers.facts.fact import Fact
from goldenlayers.models.guard import untouched


@dataclass(frozen=True)
class Batch:
    """A batch that was edited.

    Attributes:
        made: Its own updates and outcomes.
        updates: Of all batches so far: the factors side by side.
        seconds: What it took.
    """

    made: Edited
    updates: tuple[Update, ...]
    seconds: float


def in_batches(
    editor: Editor,
    request: EditRequest,
    size: int,
    *,
    updates: tuple[Update, ...] = (),
    tolerant: bool = False,
) -> Iterator[Batch]:
    """Edit the facts of a request in batches.

    The model is unedited whenever a batch is yielded.

    Args:
        editor: The editor.
        request: Of all facts; `earlier` holds the keys of edits that are in the model's weights.
        size: Facts in a batch; the last may have fewer.
        updates: Of batches that were made before, on the model as it is.
        tolerant: A batch for which no finite update exists, as in a model that earlier edits have
            broken, leaves the weights as they are and its facts not converged.

    Yields:
        Each batch as it is made.

    Raises:
        EditError: If no finite update exists, unless `tolerant`.
    """
    require_whole("batch", size)
    for start in range(0, len(request.facts), size):
        facts = request.facts[start : start + size]
        begun = time.perf_counter()
        earlier = keys_of(updates, request.earlier)
        try:
            with updates_applied(request.model, updates), untouched(request.model):
                made = editor.edit(replace(request, facts=facts, earlier=earlier))
        except EditError as error:
            if not tolerant:
                raise
            reason = f"no update was made: {error}"
            made = Edited((), tuple(not_made(fact, reason) for fact in facts))
        updates = side_by_side(updates, made.updates)
        yield Batch(made, updates, time.perf_counter() - begun)


def not_made(fact: Fact, reason: str) -> Outcome:
    """Return the outcome of a fact for which no update was made."""
    return Outcome(fact, (), "not converged", reason, math.nan, math.nan, False)


def keys_of(
    updates: Sequence[Update], earlier: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return the keys that updates keep, (d_in, m) by the site's name, behind earlier ones."""
    found = dict(earlier or {})
    for update in updates:
        if update.keys is not None:
            before = found.get(update.name)
            parts = [update.keys] if before is None else [before.to(update.keys), update.keys]
            found[update.name] = torch.cat(parts, dim=1)
    return found
