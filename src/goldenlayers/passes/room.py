"""How many tokens are run together, and what happens where memory does not bear so many.

A bound that the user gives, or the default, is where a pass begins. Where memory runs out, the
piece of work that failed is done again in smaller pieces, and so is all that follows; what is
finished is kept. The results are those of an undisturbed run but for rounding: products of other
sizes are summed in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from goldenlayers.errors import MemoryShortError
from goldenlayers.passes.batches import plan
from goldenlayers.passes.memory import ran_out
from goldenlayers.progress import Say, quiet

T = TypeVar("T")
# Parts costs (tokens of each item) into groups of their positions, given a bound on a group.
Parted = Callable[[Sequence[int], int], list[list[int]]]


class Room:
    """Tokens that may be run together; fewer once memory has run out.

    Args:
        tokens: The bound to begin with; None for none.
        say: Called with a line each time that the bound is lowered.

    Attributes:
        tokens: The bound as it is now.
    """

    def __init__(self, tokens: int | None = None, say: Say = quiet):
        self.tokens = tokens
        self._say = say

    @classmethod
    def of(cls, bound: int | Room | None) -> Room:
        """Return a room for a bound, or the room that was given, which others lower too."""
        return bound if isinstance(bound, Room) else cls(bound)

    def __getstate__(self) -> dict[str, Any]:
        """Travel without who is told: a line cannot be said on another machine."""
        return {"tokens": self.tokens, "_say": quiet}

    def parted(self, costs: Sequence[int]) -> list[list[int]]:
        """Part items of so many tokens each into batches (`goldenlayers.passes.batches.plan`)."""
        if not costs:
            return []
        return plan(costs, len(costs) * max(costs) if self.tokens is None else self.tokens)

    def holds(self, tokens: int) -> bool:
        """Return whether so many tokens may be run together."""
        return self.tokens is None or tokens <= self.tokens

    def attempt(self, work: Callable[[], T], tokens: int, *, least: str | None = None) -> T | None:
        """Do some work; where memory runs out, halve the bound.

        Args:
            work: What is done; it must leave nothing half done where it fails.
            tokens: How many tokens it runs together, padding counted.
            least: What the work is, if it cannot be done in smaller pieces ("one fact alone").

        Returns:
            What the work returned, which must not be None; None if memory ran out and smaller
            pieces can be tried.

        Raises:
            MemoryShortError: If memory ran out and no smaller piece is possible.
        """
        try:
            return work()
        except Exception as error:
            # a part of the work that has nothing smaller may fit where the whole is smaller
            if not ran_out(error) and not (least is None and isinstance(error, MemoryShortError)):
                raise
            if least is not None:
                raise short(f"{least}, {tokens:,} tokens together", error) from error
        # only here is the traceback gone, and with it what it held on the device
        free_what_is_held()
        self.tokens = max(1, min(tokens, self.tokens or tokens) // 2)
        self._say(f"memory ran out with {tokens:,} tokens together; going on with {self.tokens:,}")
        return None


def short(what: str, error: Exception) -> MemoryShortError:
    """Return the error that says what memory did not suffice for, and what can be done."""
    told = str(error).strip().partition("\n")[0][:200] or type(error).__name__
    return MemoryShortError(
        f"memory ran out with {what} ({told}); free some memory, load the model in a smaller dtype "
        "(--dtype bfloat16), or spread it over several devices (--device-map auto)"
    )


@contextmanager
def shortage_told(what: str) -> Iterator[None]:
    """While open, running out of memory where nothing smaller can be tried is an error of ours.

    Args:
        what: What is being done, for the message.

    Raises:
        MemoryShortError: If memory runs out.
    """
    try:
        yield
    except Exception as error:
        if not ran_out(error):
            raise
        raise short(what, error) from error


def in_pieces(
    costs: Sequence[int],
    room: Room,
    run: Callable[[list[int]], T],
    *,
    item: str = "row",
    parted: Parted = plan,
) -> Iterator[tuple[list[int], T]]:
    """Run items in groups, in smaller ones from where memory ran out.

    Args:
        costs: Tokens of each item; a group costs its items times the longest of them.
        room: Bound on a group.
        run: Called with the positions of a group's items; what it returns must not be None.
        item: What an item is, for the error if one alone is too much.
        parted: How items become groups; see `goldenlayers.passes.batches.plan`.

    Yields:
        The positions of each group, every position once, with what `run` returned.

    Raises:
        MemoryShortError: If memory does not suffice for one item alone.
    """
    left = list(range(len(costs)))
    while left:
        bound = len(costs) * max(costs) if room.tokens is None else room.tokens
        done: set[int] = set()
        for chosen in parted([costs[i] for i in left], bound):
            group = [left[k] for k in chosen]
            tokens = len(group) * max(costs[i] for i in group)
            least = f"one {item} alone" if len(group) == 1 else None
            found = room.attempt(partial(run, group), tokens, least=least)
            if found is None:
                break
            done.update(group)
            yield group, found
        left = [i for i in left if i not in done]


def in_order(costs: Sequence[int], most: int) -> list[list[int]]:
    """Part items of equal cost as they come, as many together as `most` tokens allow."""
    n = max(1, most // costs[0])
    return [list(range(k, min(k + n, len(costs)))) for k in range(0, len(costs), n)]


def free_what_is_held() -> None:
    """Give back what the device's allocator keeps of tensors that are gone."""
    from accelerate.utils import release_memory

    release_memory()
