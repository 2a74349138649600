"""Causal tracing of one fact: many restored runs of the same corrupted rows, side by side.

The noise is fixed, so a run in which a clean output is put back at layer l equals the corrupted run
below l and left of the restored position. One pass over the clean row and the corrupted ones
records both; the restored runs are groups of a growing batch (`goldenlayers.passes.growing`) that
compute the positions from the restored one on, from their layer up. The method: arXiv 2202.05262.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goldenlayers.editors.fact_value import UNSUITED
from goldenlayers.editors.value import require_same
from goldenlayers.models.sites import EditSite
from goldenlayers.models.subject import SubjectRow
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.growing import Change
from goldenlayers.passes.memory import ran_out
from goldenlayers.passes.replay import Group, Replay
from goldenlayers.passes.restoring import (
    Restorable,
    Restoration,
    TracedRow,
    corrupted,
    recorded,
    restored,
)
from goldenlayers.passes.room import Room, in_order, in_pieces
from goldenlayers.passes.rows import Reads

Floats = NDArray[np.float64]

GROWING, PLAIN = "growing batch", "plain loop"
MAX_TOKENS = 2048


@dataclass(frozen=True)
class Trace:
    """What restoring does to the probability of the answer's first token.

    Attributes:
        clean: The probability in the clean run.
        corrupted: (draws,) float64, in the corrupted runs.
        restored: (restorations, draws) float64, with something put back.
        computed: "growing batch", or "plain loop" and why.
        whole_tokens: Tokens that went through the whole model.
        token_layers: Tokens times blocks that were run for the restored runs.
    """

    clean: float
    corrupted: Floats
    restored: Floats
    computed: str
    whole_tokens: int
    token_layers: int

    @property
    def effects(self) -> Floats:
        """(restorations, draws): the restored probability less the corrupted one."""
        return self.restored - self.corrupted


@torch.no_grad()
def trace(
    model: Any,
    sites: Sequence[EditSite],
    row: TracedRow,
    noise: Tensor,
    wanted: Sequence[Restoration],
    places: Restorable,
    *,
    max_tokens: int | Room = MAX_TOKENS,
    plain: bool = False,
) -> Trace:
    """Trace one fact.

    Args:
        model: A causal language model of transformers, frozen and in evaluation mode.
        sites: The edit sites of all layers.
        row: The prompt, its subject and the answer's first token.
        noise: (draws, s, d) noise on the embeddings of the subject's s tokens.
        wanted: What is put back, one run each.
        places: Where, see `goldenlayers.passes.restoring.find_restorable`.
        max_tokens: Bound on the tokens of a run, padding counted; one restoration may exceed it.
        plain: Run the whole model for each restoration, as is done where the growing batch does
            not suit the model.

    Returns:
        The probabilities. What is restored before the subject's first token has no effect: nothing
        is corrupted there.
    """
    room = Room.of(max_tokens)
    # the runs that can differ from the corrupted one
    active = [i for i, r in enumerate(wanted) if r.position >= row.first]
    chosen = [wanted[i] for i in active]
    how = PLAIN
    found: Trace | None = None
    if not plain:
        try:
            # each position by itself, so that no run computes a longer tail than it must
            runs = [
                _replayed(model, sites, row, noise, some, places, room)
                for some in _by_position(chosen)
            ]
            found = _together(chosen, runs)
        except UNSUITED as error:
            if ran_out(error):
                raise
            how = f"{PLAIN}: the growing batch failed: {type(error).__name__} {error}"[:300]
    if found is None:
        found = replace(_plainly(model, row, noise, chosen, places), computed=how)
    everything = np.tile(found.corrupted, (len(wanted), 1))  # (restorations, draws)
    everything[active] = found.restored
    return replace(found, restored=everything)


def _by_position(wanted: Sequence[Restoration]) -> list[list[Restoration]]:
    """Group restorations by their position, in order; one empty group for none."""
    positions = sorted({r.position for r in wanted})
    return [[r for r in wanted if r.position == p] for p in positions] or [[]]


def _together(wanted: Sequence[Restoration], runs: Sequence[Trace]) -> Trace:
    """Put traces of the groups of `_by_position` together, in the order that was wanted."""
    order = [r for group in _by_position(wanted) for r in group]
    restored = np.concatenate([run.restored for run in runs])  # (restorations, draws)
    place = {r: i for i, r in enumerate(order)}
    return replace(
        runs[0],
        restored=restored[[place[r] for r in wanted]],
        whole_tokens=sum(run.whole_tokens for run in runs),
        token_layers=sum(run.token_layers for run in runs),
    )


def _replayed(
    model: Any,
    sites: Sequence[EditSite],
    row: TracedRow,
    noise: Tensor,
    wanted: Sequence[Restoration],
    places: Restorable,
    room: Room,
) -> Trace:
    draws, depth = len(noise), len(places.blocks)
    rows = 1 + draws
    start = min((r.position for r in wanted), default=len(row.ids) - 1)
    names = [places.names(r.kind, r.layer) for r in wanted]
    joins = [_join(r, n, depth) for r, n in zip(wanted, names, strict=True)]
    lowest = min((j for j in joins if j is not None), default=depth - 1)
    modules = [n for r, found in zip(wanted, names, strict=True) if r.kind != "state"
               for n in found.values()]  # fmt: skip
    reads = Reads(
        torch.arange(rows, device=model.device),
        torch.full((rows,), len(row.ids) - 1, device=model.device),
    )

    def record() -> tuple[Replay, dict[str, Tensor]]:
        with (
            corrupted(model, row, noise),
            recorded(model, list(dict.fromkeys(modules)), rows, start) as seen,
        ):
            fed = [SubjectRow(row.ids, len(row.ids), start)] * rows
            return Replay(model, [s for s in sites if s.layer >= lowest], fed, reads), seen

    recording = room.attempt(
        record, rows * len(row.ids), least=f"the clean and {draws} corrupted rows of one fact"
    )
    assert recording is not None
    replay, clean = recording
    whole, noisy = replay.part([0]), replay.part(range(1, rows))
    before = probabilities(replay.clean.logits, row.answer)  # (1 + draws,)
    result = np.tile(before[1:], (len(wanted), 1))
    for i, (r, join) in enumerate(zip(wanted, joins, strict=True)):
        # what the last block gives at the position read decides alone, elsewhere it decides nothing
        if join is None and r.kind == "state" and r.position == len(row.ids) - 1:
            result[i] = before[0]

    def group(i: int) -> Group:
        r, join = wanted[i], joins[i]
        assert join is not None  # those that need no run are left out
        column = r.position - start
        if r.kind != "state":
            changes = {n: _put(column, clean[n][column]) for n in names[i].values()}
            return Group(join, noisy, changes)
        state = replay.recorded(join, noisy).clone()  # (draws, T, d)
        state[:, column] = replay.recorded(join, whole)[0, column]
        return Group(join, noisy, {}, state)

    # a corrupted row without a change: is it what it was?
    check = Group(lowest, replay.part([1]), {})
    order = sorted((i for i, j in enumerate(joins) if j is not None), key=lambda i: joins[i] or 0)
    same: Tensor | None = None
    if not order:
        (same,) = replay.logits([check])

    def several(places_in_order: list[int]) -> tuple[Tensor | None, Tensor]:
        some = [order[k] for k in places_in_order]
        # beside the first run only
        beside = [check] if 0 in places_in_order else []
        logits = replay.logits([*beside, *(group(i) for i in some)])
        found = torch.cat([_probabilities(x, row.answer) for x in logits[len(beside) :]])
        return (logits[0] if beside else None), found  # (N, V), (runs * draws,)

    # side by side in their order, as many as there is room for
    for chosen, (first, found) in in_pieces(
        [noisy.tokens] * len(order), room, several, item="restoration", parted=in_order
    ):
        same = first if first is not None else same
        result[[order[k] for k in chosen]] = found.cpu().numpy().reshape(len(chosen), draws)
    if same is not None:
        require_same(same, replay.clean.logits[1:2])
    return Trace(
        float(before[0]),
        before[1:],
        result,
        GROWING,
        rows * len(row.ids),
        check.part.tokens * (depth - lowest)
        + sum(noisy.tokens * (depth - j) for j in joins if j is not None),
    )


def _plainly(
    model: Any,
    row: TracedRow,
    noise: Tensor,
    wanted: Sequence[Restoration],
    places: Restorable,
) -> Trace:
    rows = 1 + len(noise)
    ids = torch.tensor([row.ids] * rows, device=model.device)  # (1 + draws, T)
    at = torch.arange(rows, device=model.device), torch.full_like(ids[:, 0], ids.shape[1] - 1)

    def run(names: Sequence[str], position: int) -> Floats:
        with (
            corrupted(model, row, noise),
            restored(model, names, rows, position),
            answer_logits(model, *at) as gathered,
        ):
            logits = gathered.pick(model(input_ids=ids, use_cache=False).logits)  # (1 + draws, V)
        return probabilities(logits, row.answer)

    before = run([], 0)
    result = np.empty((len(wanted), rows - 1))
    for i, r in enumerate(wanted):
        result[i] = run(list(places.names(r.kind, r.layer).values()), r.position)[1:]
    return Trace(
        float(before[0]), before[1:], result, PLAIN, ids.numel(),
        len(wanted) * ids.numel() * len(places.blocks),
    )  # fmt: skip


def probabilities(logits: Tensor, token: int) -> Floats:
    """Return the probability of a token, (N, V) -> (N,); softmax in float32 or wider."""
    found: Floats = _probabilities(logits, token).cpu().numpy()
    return found


def _probabilities(logits: Tensor, token: int) -> Tensor:
    """Return the same on the device, (N,) float64."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide.softmax(-1)[:, token].double()


def _join(r: Restoration, names: dict[int, str], depth: int) -> int | None:
    """Return the block at which a restored run begins to differ; None where no block does."""
    if r.kind == "state":
        return r.layer + 1 if r.layer + 1 < depth else None
    return min(names, default=None)


def _put(column: int, value: Tensor) -> Change:
    """Return the change that puts `value` (d_out,) in a column of every row."""

    def change(inputs: Tensor, output: Tensor) -> Tensor:
        output = output.clone()  # (n, T, d_out)
        output[:, column] = value.to(output)
        return output

    return change
