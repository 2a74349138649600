"""Rows of token ids become padded batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goldenlayers.models.text import Row

# What a batch costs beside its tokens, in tokens: the price that `plan` puts on one more batch.
# Small products run slower; measured on two CPU cores, and flat around this value.
BATCH_PRICE = 100


@dataclass(frozen=True)
class PairBatch:
    """B facts, each with an old and a new answer.

    The last token of an answer is not fed: nothing is predicted from it. So where the answers
    differ in their last token alone (one-token answers always do), both rows are fed the same
    tokens, and one row serves both: the batch is `shared` and has R = B rows. Otherwise R = 2B,
    rows 0..B-1 are old and rows B..2B-1 new.

    Attributes:
        index: Position of each of the B facts in the caller's order.
        shared: Whether one row serves the old and the new answer.
        input_ids: (R, T) int64, padded.
        attention_mask: (R, T) int64, 1 on real tokens; None where it is not needed: under causal
            attention no real token sees the padding to its right.
        position_ids: (R, T) int64 for padding on the left, else None.
        rows: (N,) int64, row in `input_ids` of each answer token.
        columns: (N,) int64, position from which each answer token is predicted.
        answers: (N,) int64, which of the 2B answers (old ones first) the token belongs to.
        labels: (N,) int64, the answer tokens.
        weights: (N,) float64, 1 / (tokens of the answer), so that the weighted sum of token losses
            is the sum over answers of their mean (nats).
    """

    index: tuple[int, ...]
    shared: bool
    input_ids: Tensor
    attention_mask: Tensor | None
    position_ids: Tensor | None
    rows: Tensor
    columns: Tensor
    answers: Tensor
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
    share: bool = True,
) -> list[PairBatch]:
    """Bucket (old, new) rows of facts by length.

    Args:
        old: Prompt with the old answer, one row per fact.
        new: Prompt with the new answer, one row per fact.
        device: Where the tensors go.
        max_tokens: Bound on the tokens of a batch, padding and all rows counted.
        padding_side: "right" (default: needs no attention mask) or "left".
        share: Whether rows that are fed the same tokens become one.
    """
    pairs = list(zip(old, new, strict=True))
    same = [share and o.ids[:-1] == n.ids[:-1] and o.n_prompt == n.n_prompt for o, n in pairs]
    batches = []
    for shared in (False, True):
        members = [i for i, s in enumerate(same) if s == shared]
        lengths = [
            (max(map(len, (pairs[i][0].ids, pairs[i][1].ids))) - 1) * (1 if shared else 2)
            for i in members
        ]
        for group in plan(lengths, max_tokens):
            index = tuple(members[k] for k in group)
            batches.append(
                _pair_batch(index, [pairs[i] for i in index], shared, device, padding_side)
            )
    return batches


def _pair_batch(
    index: tuple[int, ...],
    pairs: Sequence[tuple[Row, Row]],
    shared: bool,
    device: torch.device | str,
    padding_side: str,
) -> PairBatch:
    answers = [old for old, _ in pairs] + [new for _, new in pairs]  # 2B
    fed = [row.ids[:-1] for row in (answers[: len(pairs)] if shared else answers)]  # R
    T = max(map(len, fed))
    left = padding_side == "left"
    ids, mask = [], []
    for row in fed:
        gap = T - len(row)
        # The padding repeats a real token: no pad token is needed, none is looked for by the model.
        fill = [row[-1]] * gap
        ids.append([*fill, *row] if left else [*row, *fill])
        mask.append([0] * gap + [1] * len(row) if left else [1] * len(row) + [0] * gap)
    where = []
    for a, answer in enumerate(answers):
        r = a % len(fed)
        shift = T - len(fed[r]) if left else 0
        where += [
            (r, shift + t - 1, a, answer.ids[t], 1.0 / len(answer.answer))
            for t in range(answer.n_prompt, len(answer.ids))
        ]
    rows, columns, owners, labels, weights = zip(*where, strict=True)
    attention = torch.tensor(mask, device=device)
    return PairBatch(
        index=index,
        shared=shared,
        input_ids=torch.tensor(ids, device=device),
        attention_mask=attention if left else None,
        position_ids=(attention.cumsum(1) - 1).clamp_min(0) if left else None,
        rows=torch.tensor(rows, device=device),
        columns=torch.tensor(columns, device=device),
        answers=torch.tensor(owners, device=device),
        labels=torch.tensor(labels, device=device),
        weights=torch.tensor(weights, device=device, dtype=torch.float64),
    )
