"""Prefix reuse: what stands before the subject's last token is computed once.

While a value is optimised, the change touches positions from the subject's last token on, and
layers from the edited one up. So one clean pass over the whole rows keeps
  - keys and values of every earlier position (the prefix), layer by layer,
  - the hidden state that enters each edited block, at the later positions (the tail),
and every optimisation step runs the tails alone, through the blocks from the edited one up: of one
layer, or of many side by side in a batch that grows (`goldenlayers.passes.growing`). The model's
own forward does it, given a cache that holds the prefix and is never written. No architecture
needs code of its own.

Prefixes are aligned on the right, next to the tail: distances in the cache are then true distances,
which is what sliding windows and ALiBi count.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import cache_utils

from goldenlayers.models.sites import EditSite
from goldenlayers.models.subject import SubjectRow
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.growing import growing
from goldenlayers.passes.rows import Reads, clean_pass, padded


class FrozenLayer(cache_utils.DynamicLayer):
    """A cache layer that shows its keys and values beside the new ones and never keeps those.

    It holds R rows; the new ones may be several times as many, group after group.
    """

    def __init__(self, keys: Tensor | None, values: Tensor | None, length: int):
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values = keys, values  # (R, heads, P, d_head) each
        self.is_initialized = True
        self._length = length

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Return prefix and tail together; keep the prefix alone."""
        if self.keys is None or self.values is None:
            raise RuntimeError("a block below the edited one ran although it was passed over")
        times = key_states.shape[0] // self.keys.shape[0]
        return (
            torch.cat([self.keys.repeat(times, 1, 1, 1), key_states], dim=-2),
            torch.cat([self.values.repeat(times, 1, 1, 1), value_states], dim=-2),
        )

    def get_seq_length(self) -> int:
        """Return the length of the prefix, also where nothing is kept (layers passed over)."""
        return self._length


class Tails:
    """The rows of one fact at some layers, ready to be run again and again; see the module.

    Attributes:
        clean: What the first, clean pass saw.
        tokens: Tail tokens that each run computes per layer, padding not counted.
    """

    def __init__(
        self, model: Any, sites: Sequence[EditSite], rows: Sequence[SubjectRow], reads: Reads
    ):
        self._model = model
        self._sites = tuple(sites)
        self._accepted = set(inspect.signature(model.forward).parameters)
        device = model.device
        starts = torch.tensor([row.subject for row in rows], device=device)  # (R,)
        lengths = torch.tensor([len(row.ids) for row in rows], device=device)
        self.clean = clean_pass(model, sites, rows, reads, keep_cache=True)
        self.tokens = int((lengths - starts).sum())
        prefix, tail = int(starts.max()), int((lengths - starts).max())
        R = len(rows)
        row = torch.arange(R, device=device)[:, None]  # (R, 1)
        # where the tail's columns lie in the whole rows; beyond the end the last token is repeated
        whole = starts[:, None] + torch.arange(tail, device=device)
        whole = torch.minimum(whole, lengths[:, None] - 1)
        self._ids = padded([r.ids for r in rows], device)[row, whole]  # (R, tail)
        self._positions = whole
        self._hidden = [x[row.to(x.device), whole.to(x.device)] for x in self.clean.inputs]
        before = starts[:, None] - prefix + torch.arange(prefix, device=device)  # (R, prefix)
        real = torch.cat([before >= 0, torch.ones(R, tail, dtype=torch.bool, device=device)], 1)
        # without padding in the prefix no mask is needed
        self._mask = None if bool(real.all()) else real.long()  # (R, prefix + tail)
        first = self._sites[0].layer
        self._cache = cache_utils.Cache(
            layers=[
                FrozenLayer(None, None, prefix)
                if i < first
                else FrozenLayer(
                    _aligned(layer.keys, before), _aligned(layer.values, before), prefix
                )
                for i, layer in enumerate(self.clean.cache.layers)
            ]
        )
        self._reads = Reads(reads.rows, reads.columns - starts[reads.rows])

    def logits(self, deltas: Tensor, active: Sequence[int] | None = None) -> Tensor:
        """Run the tails of some layers.

        Args:
            deltas: (A, d_out), what is added to each layer's site at the subject's last token of
                every row, before whatever the block does with the site's output (post-norms
                included).
            active: Positions of the A layers among the sites, in order; None for all.

        Returns:
            (A, N, V) logits at the positions read.
        """
        model = self._model
        chosen = range(len(self._sites)) if active is None else active
        A, R = len(chosen), len(self._ids)
        groups = [
            (self._sites[g], self._hidden[g], partial(_add_first, deltas[a]))
            for a, g in enumerate(chosen)
        ]
        extra: dict[str, Any] = {"attention_mask": self._mask, "position_ids": self._positions}
        extra = {
            name: value.repeat(A, 1)
            for name, value in extra.items()
            if value is not None and name in self._accepted
        }
        shift = R * torch.arange(A, device=self._reads.rows.device)[:, None]
        rows = (self._reads.rows + shift).flatten()  # (A * N,)
        columns = self._reads.columns.repeat(A)
        with (
            growing(model, groups, self.clean.tuples),
            answer_logits(model, rows, columns) as gathered,
        ):
            output = model(
                input_ids=self._ids.repeat(A, 1),
                past_key_values=self._cache,
                use_cache=True,
                **extra,
            )
            picked = gathered.pick(output.logits)  # (A * N, V)
            return picked.reshape(A, -1, picked.shape[-1])


class WholeRows:
    """The same by the plain way: every run computes all positions at all layers, layer by layer.

    For a model that prefix reuse does not suit, and as what prefix reuse is compared with.
    """

    def __init__(
        self, model: Any, sites: Sequence[EditSite], rows: Sequence[SubjectRow], reads: Reads
    ):
        self._model, self._sites, self._reads = model, tuple(sites), reads
        self._ids = padded([r.ids for r in rows], model.device)  # (R, T)
        self._at = torch.tensor([r.subject for r in rows], device=model.device)
        self.clean = clean_pass(model, sites, rows, reads, keep_cache=False)
        self.tokens = self.clean.tokens

    def logits(self, deltas: Tensor, active: Sequence[int] | None = None) -> Tensor:
        """See `Tails.logits`."""
        chosen = range(len(self._sites)) if active is None else active
        return torch.stack([self._one(self._sites[g], deltas[a]) for a, g in enumerate(chosen)])

    def _one(self, site: EditSite, delta: Tensor) -> Tensor:
        R, T = self._ids.shape
        where = torch.nn.functional.one_hot(self._at, T).bool().unsqueeze(-1)  # (R, T, 1)

        def add(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            out = output.reshape(R, T, -1)
            changed = torch.where(where.to(out.device), out + delta.to(out), out)
            return changed.reshape(output.shape)

        handle = self._model.get_submodule(site.name).register_forward_hook(add)
        try:
            with answer_logits(self._model, self._reads.rows, self._reads.columns) as gathered:
                output = self._model(input_ids=self._ids, use_cache=False)
                return gathered.pick(output.logits)
        finally:
            handle.remove()


def _add_first(delta: Tensor, keys: Tensor, output: Tensor) -> Tensor:
    """Add `delta` (d_out,) at the first position of each row of (R, T, d_out)."""
    return torch.cat([output[:, :1] + delta.to(output), output[:, 1:]], dim=1)


def _aligned(x: Tensor, columns: Tensor) -> Tensor:
    """Pick each row's prefix, (R, heads, T, d_head) -> (R, heads, P, d_head), padding zeroed."""
    real = (columns >= 0)[:, None, :, None].to(x.device)  # (R, 1, P, 1)
    at = columns.clamp_min(0)[:, None, :, None].to(x.device)
    picked = x.gather(2, at.expand(-1, x.shape[1], -1, x.shape[3]))
    return picked * real
