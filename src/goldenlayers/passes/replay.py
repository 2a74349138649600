"""Rows that were run once and are run again with changes: what the changes cannot touch is kept.

While a value is optimised, the change touches positions from the subject's last token on, and
layers from the edited one up. So one clean pass over the whole rows keeps
  - keys and values of every earlier position (the prefix), layer by layer,
  - the hidden state that enters each block of interest, at the later positions (the tail),
and every later run computes the tails alone, through the blocks from the changed one up: of one
layer and fact, or of many side by side in a batch that grows (`goldenlayers.passes.growing`). A
change that touches every position (a finished weight edit) is run on rows that start at their
first token: then there is no prefix, and only the blocks below are saved. The model's own forward
does it all, given a cache that holds the prefix and is never written. No architecture needs code
of its own.

Prefixes are aligned on the right, next to the tail: distances in the cache are then true distances,
which is what sliding windows and ALiBi count.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import cache_utils

from goldenlayers.models.sites import EditSite
from goldenlayers.models.subject import SubjectRow
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.growing import Change, Joining, growing
from goldenlayers.passes.rows import Reads, clean_pass, padded
from goldenlayers.passes.transfers import on_device


@dataclass(frozen=True)
class Part:
    """Some of the rows, such as those of one fact.

    Attributes:
        order: The same as `rows`, on the host.
        rows: (n,) int64, which rows.
        reads: (N,) int64, which of the positions read are theirs.
        local: (N,) int64, the row of each of those, counted among the n.
        columns: (N,) int64, its column in the tail.
        tokens: How many tokens a run of them computes per layer, padding counted.
    """

    order: tuple[int, ...]
    rows: Tensor
    reads: Tensor
    local: Tensor
    columns: Tensor
    tokens: int


@dataclass(frozen=True)
class Group:
    """A changed run of some of the rows.

    Attributes:
        layer: The block at which they join; one of the recorded ones, or `state` is given.
        part: The rows.
        changes: By the name of a module at that block or above: what becomes of its output, see
            `goldenlayers.passes.growing.Change`.
        state: (n, T, d), what enters that block instead of what was recorded.
    """

    layer: int
    part: Part
    changes: Mapping[str, Change]
    state: Tensor | None = None


class FrozenLayer(cache_utils.DynamicLayer):
    """A cache layer that shows its keys and values beside the new ones and never keeps those.

    It holds R rows; the new ones are any of them, in any order and number.
    """

    def __init__(
        self, keys: Tensor | None, values: Tensor | None, length: int, rows: Tensor | None
    ):
        cache_utils.DynamicLayer.__init__(self)
        self.keys, self.values = keys, values  # (R, heads, P, d_head) each
        self.is_initialized = True
        self._length = length
        self._rows = rows

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Return prefix and tail together; keep the prefix alone."""
        if self.keys is None or self.values is None:
            raise RuntimeError("a block below the changed one ran although it was passed over")
        kept = (self.keys, self.values)
        if self._rows is not None:
            rows = self._rows[: key_states.shape[0]].to(self.keys.device)
            kept = (self.keys[rows], self.values[rows])
        return (
            torch.cat([kept[0], key_states], dim=-2),
            torch.cat([kept[1], value_states], dim=-2),
        )

    def get_seq_length(self) -> int:
        """Return the length of the prefix, also where nothing is kept (layers passed over)."""
        return self._length


class Replay:
    """Rows of one or more facts, ready to be run again and again; see the module.

    Each row is run again from its `subject` on.

    Attributes:
        clean: What the first, clean pass saw.
    """

    def __init__(
        self, model: Any, sites: Sequence[EditSite], rows: Sequence[SubjectRow], reads: Reads
    ):
        self._model = model
        self._prefix = sites[0].block.rpartition(".")[0]
        self._accepted = set(inspect.signature(model.forward).parameters)
        device = model.device
        # what is known on the host is computed there: a look at the device would wait for it
        prefix = max(row.subject for row in rows)
        tail = max(len(row.ids) - row.subject for row in rows)
        starts = on_device([row.subject for row in rows], device)  # (R,)
        lengths = on_device([len(row.ids) for row in rows], device)
        self.clean = clean_pass(model, sites, rows, reads, keep_cache=prefix > 0)
        R = len(rows)
        row = torch.arange(R, device=device)[:, None]  # (R, 1)
        # where the tail's columns lie in the whole rows; beyond the end the last token is repeated
        whole = starts[:, None] + torch.arange(tail, device=device)
        whole = torch.minimum(whole, lengths[:, None] - 1)
        self._ids = padded([r.ids for r in rows], device)[row, whole]  # (R, tail)
        self._positions = whole
        self._hidden = {
            site.layer: x[row.to(x.device), whole.to(x.device)]  # (R, tail, d)
            for site, x in zip(sites, self.clean.inputs, strict=True)
        }
        before = starts[:, None] - prefix + torch.arange(prefix, device=device)  # (R, prefix)
        real = torch.cat([before >= 0, torch.ones(R, tail, dtype=torch.bool, device=device)], 1)
        # without padding in the prefix no mask is needed
        even = all(row.subject == prefix for row in rows)
        self._mask = None if even else real.long()  # (R, prefix + tail)
        first = min(self._hidden)
        self._kept = [
            (None, None)
            if i < first
            else (_aligned(layer.keys, before), _aligned(layer.values, before))
            for i, layer in enumerate(self.clean.cache.layers if prefix else ())
        ]
        self._length = prefix
        self._reads = Reads(reads.rows, reads.columns - starts[reads.rows])
        self._read_rows: list[int] = reads.rows.tolist()

    def part(self, rows: Sequence[int] | None = None) -> Part:
        """Return some of the rows, or all of them, as what a group is made of."""
        device = self._ids.device
        order = tuple(range(len(self._ids)) if rows is None else rows)
        place = {row: i for i, row in enumerate(order)}
        reads = [k for k, row in enumerate(self._read_rows) if row in place]
        theirs = on_device(reads, device, torch.int64)  # (N,)
        return Part(
            order,
            on_device(order, device, torch.int64),  # (n,)
            theirs,
            on_device([place[self._read_rows[k]] for k in reads], device, torch.int64),
            self._reads.columns[theirs],
            len(order) * self._ids.shape[1],
        )

    def recorded(self, layer: int, part: Part) -> Tensor:
        """Return what entered a recorded block in the clean pass: (n, T, d), tails alone."""
        hidden = self._hidden[layer]
        return hidden[part.rows.to(hidden.device)]

    def logits(self, groups: Sequence[Group]) -> list[Tensor]:
        """Run changed rows side by side.

        Args:
            groups: The runs, by their layer, shallow first.

        Returns:
            Per group, (N, V) logits at the positions read of its rows.
        """
        index = torch.cat([group.part.rows for group in groups])  # (n of all groups,)
        joining = [
            Joining(g.layer, self.recorded(g.layer, g.part) if g.state is None else g.state,
                    g.changes)
            for g in groups
        ]  # fmt: skip
        extra: dict[str, Any] = {"attention_mask": self._mask, "position_ids": self._positions}
        extra = {
            name: value[index]
            for name, value in extra.items()
            if value is not None and name in self._accepted
        }
        shifts = _starts([len(g.part.rows) for g in groups])
        rows = torch.cat([g.part.local + n for g, n in zip(groups, shifts, strict=True)])
        columns = torch.cat([g.part.columns for g in groups])
        cache = None
        if self._kept:
            chosen = [row for group in groups for row in group.part.order]
            same = chosen == list(range(len(self._ids)))
            cache = cache_utils.Cache(
                layers=[
                    FrozenLayer(keys, values, self._length, None if same else index)
                    for keys, values in self._kept
                ]
            )
        with (
            growing(self._model, self._prefix, joining, self.clean.tuples),
            answer_logits(self._model, rows, columns) as gathered,
        ):
            output = self._model(
                input_ids=self._ids[index],
                past_key_values=cache,
                use_cache=cache is not None,
                **extra,
            )
            picked = gathered.pick(output.logits)  # (N of all groups, V)
        return list(picked.split([len(g.part.reads) for g in groups]))


def add_at_start(delta: Tensor) -> Change:
    """Return the change that adds `delta` (d_out,) at the first position of each row."""

    def change(inputs: Tensor, output: Tensor) -> Tensor:
        return torch.cat([output[:, :1] + delta.to(output), output[:, 1:]], dim=1)

    return change


def _starts(sizes: Sequence[int]) -> list[int]:
    """Return where each of some pieces begins when they are put end to end."""
    return [sum(sizes[:i]) for i in range(len(sizes))]


def _aligned(x: Tensor, columns: Tensor) -> Tensor:
    """Pick each row's prefix, (R, heads, T, d_head) -> (R, heads, P, d_head), padding zeroed."""
    real = (columns >= 0)[:, None, :, None].to(x.device)  # (R, 1, P, 1)
    at = columns.clamp_min(0)[:, None, :, None].to(x.device)
    picked = x.gather(2, at.expand(-1, x.shape[1], -1, x.shape[3]))
    return picked * real
