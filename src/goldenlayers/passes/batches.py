"""Rows of token ids become padded batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from goldenlayers.models.text import Row
from goldenlayers.passes.transfers import on_device

# What a batch costs beside its tokens, in tokens: the price that `plan` puts on one more batch,
# because small products run slower.
BATCH_PRICE = 100


@dataclass(frozen=True)
class Batch:
    """Rows of B facts: R = 2B, old ones 0..B-1 and new ones B..2B-1, or one row of each, R = B.

    The last token of an answer is not fed: nothing is predicted from it.

    Attributes:
        index: Position of each of the B facts in the caller's order.
        input_ids: (R, T) int64, padded.
        attention_mask: (R, T) int64, 1 on real tokens; None where it is not needed: under causal
            attention no real token sees the padding to its right.
        position_ids: (R, T) int64 for padding on the left, else None.
        rows: (N,) int64, row of each answer token.
        columns: (N,) int64, position from which each answer token is predicted.
        labels: (N,) int64, the answer tokens.
        weights: (N,) float64, 1 / (answer tokens of the row), so that the weighted sum of token
            losses is the sum over rows of their mean (nats).
    """

    index: tuple[int, ...]
    input_ids: Tensor
    attention_mask: Tensor | None
    position_ids: Tensor | None
    rows: Tensor
    columns: Tensor
    labels: Tensor
    weights: Tensor


def plan(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Group items of similar length so that padding and batches together cost least.

    The cost of a group is (its items) x (longest of them) + `BATCH_PRICE`; the cheapest partition
    of the items in order of length is found exactly, by dynamic programming.

    Args:
        lengths: Cost of each item alone, in tokens.
        max_tokens: Bound on (items in a group) x (longest of them); one item may exceed it alone.

    Returns:
        Groups of positions in `lengths`, every position once; the longest items first, so that a
        batch that does not fit in memory fails at once and not at the end.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    # best[i]: cheapest way to group order[i:], and where its first group ends
    best = [(0, len(order))] * (len(order) + 1)
    for start in range(len(order) - 1, -1, -1):
        longest = max(1, lengths[order[start]])
        last = min(len(order), start + max(1, max_tokens // longest))
        best[start] = min(
            (longest * (end - start) + BATCH_PRICE + best[end][0], end)
            for end in range(start + 1, last + 1)
        )
    groups, start = [], 0
    while start < len(order):
        end = best[start][1]
        groups.append(order[start:end])
        start = end
    return groups


def pair_batches(
    old: Sequence[Row],
    new: Sequence[Row],
    *,
    device: torch.device | str = "cpu",
    max_tokens: int,
    padding_side: str = "right",
) -> list[Batch]:
    """Bucket (old, new) rows of facts by length.

    Args:
        old: Prompt with the old answer, one row per fact.
        new: Prompt with the new answer, one row per fact.
        device: Where the tensors go.
        max_tokens: Bound on the tokens of a batch, padding and both rows counted.
        padding_side: "right" (default: needs no attention mask) or "left".
    """
    return [
        pair_batch(old, new, group, device=device, padding_side=padding_side)
        for group in plan(pair_lengths(old, new), max_tokens)
    ]


def pair_lengths(old: Sequence[Row], new: Sequence[Row]) -> list[int]:
    """Return what each fact costs, in tokens: both rows, padded to the longer one."""
    return [2 * (max(len(o.ids), len(n.ids)) - 1) for o, n in zip(old, new, strict=True)]


def pair_batch(
    old: Sequence[Row],
    new: Sequence[Row],
    group: Sequence[int],
    *,
    device: torch.device | str = "cpu",
    padding_side: str = "right",
) -> Batch:
    """Put the rows of some facts, by their positions, into one batch; see `pair_batches`."""
    both = [*(old[i] for i in group), *(new[i] for i in group)]
    return _batch(tuple(group), both, device, padding_side)


def row_batches(
    rows: Sequence[Row], *, device: torch.device | str = "cpu", max_tokens: int
) -> list[Batch]:
    """Bucket rows by length, one row per fact; see `pair_batches`."""
    return [row_batch(rows, group, device=device) for group in plan(row_lengths(rows), max_tokens)]


def row_lengths(rows: Sequence[Row]) -> list[int]:
    """Return what each row costs, in tokens."""
    return [len(row.ids) - 1 for row in rows]


def row_batch(
    rows: Sequence[Row], group: Sequence[int], *, device: torch.device | str = "cpu"
) -> Batch:
    """Put some of the rows, by their positions, into one batch, one row per fact."""
    return _batch(tuple(group), [rows[i] for i in group], device, "right")


def one_batch(
    rows: Sequence[Row],
    labels: Sequence[Sequence[int]] | None = None,
    *,
    device: torch.device | str = "cpu",
) -> Batch:
    """Put rows into one batch, in their order.

    Args:
        rows: The rows.
        labels: Per row, what stands in the place of its answer's tokens in the loss; what is fed
            is the answer all the same.
        device: Where the tensors go.
    """
    batch = _batch(tuple(range(len(rows))), rows, device, "right")
    if labels is None:
        return batch
    flat = [token for own in labels for token in own]
    return replace(batch, labels=on_device(flat, device))


def _batch(
    index: tuple[int, ...], both: Sequence[Row], device: torch.device | str, padding_side: str
) -> Batch:
    T = max(len(row.ids) for row in both) - 1
    left = padding_side == "left"
    ids, mask, where = [], [], []
    for r, row in enumerate(both):
        fed = row.ids[:-1]
        gap = T - len(fed)
        # The padding repeats a real token: no pad token is needed, none is looked for by the model.
        fill = [fed[-1]] * gap
        ids.append([*fill, *fed] if left else [*fed, *fill])
        mask.append([0] * gap + [1] * len(fed) if left else [1] * len(fed) + [0] * gap)
        shift = gap if left else 0
        where += [
            (r, shift + t - 1, row.ids[t], 1.0 / len(row.answer))
            for t in range(row.n_prompt, len(row.ids))
        ]
    rows, columns, labels, weights = zip(*where, strict=True)
    attention = on_device(mask, device) if left else None
    return Batch(
        index=index,
        input_ids=on_device(ids, device),
        attention_mask=attention,
        position_ids=None if attention is None else (attention.cumsum(1) - 1).clamp_min(0),
        rows=on_device(rows, device),
        columns=on_device(columns, device),
        labels=on_device(labels, device),
        weights=on_device(weights, device, torch.float64),
    )
