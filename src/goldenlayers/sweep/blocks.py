"""Which facts are edited side by side: those that fill a run, rows of similar length together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goldenlayers.facts.fact import Fact
from goldenlayers.passes.room import Room

# Facts side by side: so many, or more where each is edited at few layers
MOST_FACTS, MOST_EDITS = 8, 64
# Facts of similar length are sought among so many: what is done when a run is stopped is nearly the
# facts that come first, not the longest of all.
WINDOW = 32


@dataclass(frozen=True)
class Block:
    """Facts that are edited together.

    Attributes:
        facts: The facts.
        share: Of the work of all blocks, by the tokens of their rows.
    """

    facts: tuple[Fact, ...]
    share: float


def parted(
    facts: Sequence[Fact],
    tails: Sequence[tuple[int, int]],
    layers: int,
    room: Room,
    *,
    first_alone: bool,
) -> list[Block]:
    """Part facts into blocks.

    Args:
        facts: The facts.
        tails: Of each, tokens of its longest row from the subject's last one on, and its rows.
        layers: At how many layers each is edited.
        room: Bound on the tokens of a run; one fact may exceed it alone.
        first_alone: Whether the first fact of middling length is a block alone.
    """
    costs = [tail * rows for tail, rows in tails]
    most = max(MOST_FACTS, MOST_EDITS // max(1, layers))
    groups: list[list[int]] = []
    alone = None
    if first_alone:
        near = range(min(len(facts), WINDOW))
        alone = sorted(near, key=lambda i: tails[i])[len(near) // 2]
        groups.append([alone])
    for start in range(0, len(facts), WINDOW):
        window = [i for i in range(start, min(start + WINDOW, len(facts))) if i != alone]
        group: list[int] = []
        for i in sorted(window, key=lambda i: (-tails[i][0], i)):
            # padded to the longest, which comes first
            longest = tails[(group or [i])[0]][0]
            tokens = longest * layers * sum(tails[j][1] for j in (*group, i))
            if group and (not room.holds(tokens) or len(group) == most):
                groups.append(group)
                group = []
            group.append(i)
        groups += [group] if group else []
    return [
        Block(tuple(facts[i] for i in group), sum(costs[i] for i in group) / sum(costs))
        for group in groups
    ]
