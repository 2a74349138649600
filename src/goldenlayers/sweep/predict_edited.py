"""What a model predicts with many different edits on, all of them side by side.

A finished edit changes every position from its first layer up, and nothing below. So the
fact's rows are run once without an edit, and again in a batch that grows from layer to layer, a
group of rows for each edit, each with its own edited weights (`goldenlayers.passes.growing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from goldenlayers.editors.update import Update
from goldenlayers.editors.value import MismatchError, require_same
from goldenlayers.editors.weights import edited, updates_applied, weight_of
from goldenlayers.metrics.predict import Prediction, feed_of, picks_of, predict, read_all
from goldenlayers.models.sites import EditSite
from goldenlayers.models.subject import SubjectRow
from goldenlayers.models.text import Row
from goldenlayers.passes.growing import Change
from goldenlayers.passes.replay import Group, Replay
from goldenlayers.passes.room import Room, in_pieces
from goldenlayers.passes.rows import Reads
from goldenlayers.passes.transfers import on_device

# By fact and edit, both counted: the updates of an edit, one or more, shallow first.
Updates = Mapping[tuple[int, int], Sequence[Update]]
Predicted = dict[tuple[int, int], list[Prediction]]


@torch.no_grad()
def predict_edited(
    model: Any,
    sites: Sequence[EditSite],
    facts: Sequence[Sequence[Row]],
    updates: Updates,
    *,
    max_tokens: int | Room,
) -> Predicted:
    """Feed each fact's rows to the model with each of the fact's edits on, one edit at a time.

    Args:
        model: A causal language model of transformers, frozen and in evaluation mode.
        sites: The edit sites at which edits begin, shallow first.
        facts: The rows of each fact.
        updates: The edits.
        max_tokens: Bound on the tokens of a run, padding counted; one edit may exceed it alone.

    Returns:
        For each edit, one prediction per row of its fact.

    Raises:
        MismatchError: If the batch without a change gives other logits than the plain model.
        MemoryShortError: If memory does not suffice for one edit alone.
    """
    feeds = [feed_of(rows) for rows in facts]
    starts = [sum(len(feed.fed) for feed in feeds[:f]) for f in range(len(feeds))]
    picks = [
        picks_of([(k, row) for k, row in zip(feed.host, rows, strict=True)])
        for feed, rows in zip(feeds, facts, strict=True)
    ]
    where = on_device(
        [(r + n, c) for p, n in zip(picks, starts, strict=True) for r, c in p.where],
        model.device,
    )  # (N, 2)
    fed = [SubjectRow(ids, len(ids), 0) for feed in feeds for ids in feed.fed]
    replay = Replay(model, sites, fed, Reads(where[:, 0], where[:, 1]))
    parts = [
        replay.part(range(n, n + len(feed.fed))) for feed, n in zip(feeds, starts, strict=True)
    ]
    unchanged = Group(sites[0].layer, parts[0], {})
    (found,) = replay.logits([unchanged])
    require_same(found, replay.clean.logits[parts[0].reads])
    out: Predicted = {}
    order = sorted(updates, key=lambda unit: (updates[unit][0].layer, *unit[::-1]))  # shallow first

    def run(some: list[int]) -> list[list[Prediction]]:
        units = [order[k] for k in some]
        groups = [
            Group(
                updates[f, e][0].layer,
                parts[f],
                {update.name: _edited(model, update) for update in updates[f, e]},
            )
            for f, e in units
        ]
        return read_all(replay.logits(groups), [picks[f] for f, _ in units])

    costs = [parts[f].tokens for f, _ in order]
    for some, predictions in in_pieces(costs, Room.of(max_tokens), run, item="edit", parted=_runs):
        out |= {order[k]: one for k, one in zip(some, predictions, strict=True)}
    return out


@torch.no_grad()
def predict_plainly(model: Any, facts: Sequence[Sequence[Row]], updates: Updates) -> Predicted:
    """Do the same the plain way: put each edit into the weights, run the whole model, undo it."""
    out: Predicted = {}
    for (f, e), of_edit in updates.items():
        with updates_applied(model, of_edit):
            out[f, e] = predict(model, facts[f])
    return out


def _edited(model: Any, update: Update) -> Change:
    """Return the change that runs the site with its edited weight, rounded as it would be."""
    bias = getattr(model.get_submodule(update.name), "bias", None)

    def change(inputs: Tensor, output: Tensor) -> Tensor:
        # made here, so that of all edits of a run one weight at a time is held
        weight = edited(weight_of(model, update.name), update)
        weight = weight.T if update.transposed else weight  # (d_out, d_in)
        return linear(inputs, weight, bias)

    return change


def _runs(costs: Sequence[int], most: int) -> list[list[int]]:
    """Part edits as they come into runs of `most` tokens; one may exceed it alone."""
    runs: list[list[int]] = []
    size = 0
    for unit, cost in enumerate(costs):
        if not runs or size + cost > most:
            runs.append([])
            size = 0
        runs[-1].append(unit)
        size += cost
    return runs


__all__ = ["MismatchError", "Predicted", "Updates", "predict_edited", "predict_plainly"]
