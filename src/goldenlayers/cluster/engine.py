"""The protocol of engines: pieces of work in, their results out.

Whoever has much to do parts it into items that do not depend on each other and writes a `Task` that
does one. The items are composed before an engine is asked, so that the results are the same
whoever does the work, and however many do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Task(Protocol):
    """What is done with one item.

    A frozen dataclass of plain values, without the model: it travels to the workers. It must give
    the same each time, and must not write anything.
    """

    def __call__(self, model: Any, tokenizer: Any, item: Any) -> Any:
        """Return the item's result, on the CPU.

        Args:
            model: The model, frozen and in evaluation mode; left as it came.
            tokenizer: Its fast tokenizer.
            item: The item.
        """
        ...


class Engine(Protocol):
    """Who does the work."""

    @property
    def width(self) -> int:
        """How many items are done at a time."""
        ...

    def run(self, task: Task, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield position and result of every item, each once, as they are done.

        What a task raises is raised here. Closing the iterator stops what is under way.
        """
        ...


@dataclass(frozen=True)
class Here:
    """This process, one item after another.

    Attributes:
        model: The model.
        tokenizer: Its tokenizer.
    """

    model: Any
    tokenizer: Any

    @property
    def width(self) -> int:
        """One."""
        return 1

    def run(self, task: Task, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield position and result of every item, in their order."""
        for i, item in enumerate(items):
            yield i, task(self.model, self.tokenizer, item)
