"""Facts in runs: as many side by side as there is room for, those of like length together.

Rows are padded to the longest of their run, so a run of mixed lengths computes tokens that nobody
needs (`python -m bench.batch` tells how many are padding).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from goldenlayers.editors.fact_rows import FactRows
from goldenlayers.passes.batch_tokens import room_for

T = TypeVar("T")

# Tokens of a run, padding counted: enough to keep the processor busy; more would mix lengths.
RUN_TOKENS = 512


def in_runs(
    facts: Sequence[FactRows], length: Callable[[FactRows], int], most: int | None = None
) -> list[list[int]]:
    """Part facts into runs.

    Args:
        facts: The facts.
        length: Tokens of a fact's longest row, as far as it is run.
        most: Tokens of a run, padding counted; one fact may exceed it alone. `RUN_TOKENS` if None.

    Returns:
        The numbers of the facts of each run, the shortest first.
    """
    most = RUN_TOKENS if most is None else most
    runs: list[list[int]] = []
    rows = 0
    for i in sorted(range(len(facts)), key=lambda i: length(facts[i])):
        rows += len(facts[i].fed)
        if not runs or rows * length(facts[i]) > most:
            runs.append([])
            rows = len(facts[i].fed)
        runs[-1].append(i)
    return runs


def over_runs(
    model: Any,
    facts: Sequence[FactRows],
    length: Callable[[FactRows], int],
    work: Callable[[list[int]], T],
) -> Iterator[tuple[list[int], T]]:
    """Do some work run by run; where memory runs out, with half of the facts of a run.

    Args:
        model: The model; on a GPU runs are as long as the free memory bears.
        facts: The facts.
        length: As for `in_runs`.
        work: Called with the numbers of some facts; what it returns must not be None.

    Yields:
        The numbers of the facts of each run, with what `work` returned.

    Raises:
        MemoryShortError: If memory does not suffice for one fact alone.
    """
    room = room_for(model, None, RUN_TOKENS)
    left = in_runs(facts, length, room.tokens)
    while left:
        run = left.pop(0)
        done = room.attempt(
            partial(work, run),
            sum(len(facts[i].fed) for i in run) * max(length(facts[i]) for i in run),
            least="the rows of one fact" if len(run) == 1 else None,
        )
        if done is None:
            left[:0] = [run[: len(run) // 2], run[len(run) // 2 :]]
        else:
            yield run, done


def longest_tail(rows: FactRows) -> int:
    """Tokens from the subject's last one on, of the row that has most."""
    return max(len(row.ids) - row.subject for row in rows.fed)


def longest_row(rows: FactRows) -> int:
    """Tokens of the longest row."""
    return max(len(row.ids) for row in rows.fed)
