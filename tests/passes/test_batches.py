"""Batches hold every row once, where it belongs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenlayers.models.text import Row
from goldenlayers.passes.batches import BATCH_PRICE, pair_batches, plan


@given(st.lists(st.integers(1, 90), max_size=40), st.integers(1, 200))
def test_plan_takes_every_item_once_within_the_bound(lengths, bound):
    groups = plan(lengths, bound)
    assert sorted(i for g in groups for i in g) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[i] for i in group)
        assert len(group) == 1 or longest * len(group) <= bound
    firsts = [max(lengths[i] for i in g) for g in groups]
    assert firsts == sorted(firsts, reverse=True)


ROWS = st.lists(st.integers(0, 99), min_size=2, max_size=12).flatmap(
    lambda ids: st.integers(1, len(ids) - 1).map(lambda n: Row(tuple(ids), n))
)


def cheapest(lengths, bound):
    """The least cost over all ways to cut the sorted lengths, tried one by one."""
    if not lengths:
        return 0
    ordered = sorted(lengths, reverse=True)
    costs = []
    for n in range(1, len(ordered) + 1):
        if n == 1 or n * ordered[0] <= bound:
            costs.append(n * ordered[0] + BATCH_PRICE + cheapest(ordered[n:], bound))
    return min(costs)


@given(st.lists(st.integers(1, 90), max_size=9), st.integers(1, 400))
def test_plan_is_the_cheapest(lengths, bound):
    groups = plan(lengths, bound)
    cost = sum(len(g) * max(lengths[i] for i in g) + BATCH_PRICE for g in groups)
    assert cost == cheapest(lengths, bound)


@pytest.mark.parametrize("side", ["right", "left"])
@given(pairs=st.lists(st.tuples(ROWS, ROWS), min_size=1, max_size=9), bound=st.integers(1, 80))
def test_labels_and_positions(side, pairs, bound):
    old, new = [p[0] for p in pairs], [p[1] for p in pairs]
    seen = set()
    for batch in pair_batches(old, new, max_tokens=bound, padding_side=side):
        B = len(batch.index)
        rows = [old[i] for i in batch.index] + [new[i] for i in batch.index]
        assert batch.input_ids.shape[0] == 2 * B
        T = batch.input_ids.shape[1]
        for r, row in enumerate(rows):
            at = (batch.rows == r).nonzero().flatten().tolist()
            assert batch.labels[at].tolist() == list(row.answer)
            assert batch.weights[at].sum().item() == pytest.approx(1.0)
            shift = T - (len(row.ids) - 1) if side == "left" else 0
            real = batch.input_ids[r, shift : shift + len(row.ids) - 1].tolist()
            assert real == list(row.ids[:-1])
            for k, column in enumerate(batch.columns[at].tolist()):
                # the token fed at that column is the one before the label
                assert batch.input_ids[r, column] == row.ids[row.n_prompt + k - 1]
            if side == "left":
                mask = batch.attention_mask[r].tolist()
                assert mask == [0] * shift + [1] * (T - shift)
                assert batch.position_ids[r, shift:].tolist() == list(range(T - shift))
        assert (batch.attention_mask is None) == (side == "right")
        seen |= set(batch.index)
    assert seen == set(range(len(pairs)))
