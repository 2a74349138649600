"""The second moments of one pass, added up of parts of the text that workers make.

The text is parted the same way whatever the number of workers, and the parts' sums are added in
their order, so that the result does not depend on who was done first. It differs in the last bits
from that of a single process, which adds batch after batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from goldenlayers.cluster.engine import Engine
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.moments import KeyMoments

# Each costs its sums' way from the worker to the driver, as large as the result; more of them keep
# more workers busy.
PARTS = 8

Batch = Sequence[Sequence[int]]


@dataclass(frozen=True)
class SumKeys:
    """The task of one part; see `goldenlayers.cluster.engine.Task`.

    Attributes:
        sites: Edit sites whose keys are added up.
        dtype: Dtype of the sums.
    """

    sites: tuple[EditSite, ...]
    dtype: torch.dtype

    def __call__(
        self, model: Any, tokenizer: Any, item: Sequence[Batch]
    ) -> tuple[dict[str, Tensor], int]:
        """Return the sums over some batches, by site (d_in, d_in), and their tokens."""
        moments = KeyMoments(model, self.sites, self.dtype)
        for batch in item:
            moments.add(batch)
        return {name: total.cpu() for name, total in moments.sums.items()}, moments.tokens


def add_parts(
    moments: KeyMoments,
    task: SumKeys,
    batches: Sequence[Batch],
    done: int,
    engine: Engine,
    added: Callable[[int], None],
) -> None:
    """Add to the sums what is left of a text.

    Args:
        moments: The sums so far.
        task: Makes a part.
        batches: All batches of the text.
        done: How many are in the sums; the beginning of a part.
        engine: Who makes the parts.
        added: Called after each part with the number of batches in the sums.
    """
    parts = [(a, b) for a, b in parted(len(batches)) if a >= done]
    made: dict[int, tuple[dict[str, Tensor], int]] = {}
    turn = 0
    for i, result in engine.run(task, [batches[a:b] for a, b in parts]):
        made[i] = result
        while turn in made:
            sums, tokens = made.pop(turn)
            for name, part in sums.items():
                moments.sums[name] += part.to(moments.sums[name].device)
            moments.tokens += tokens
            added(parts[turn][1])
            turn += 1


def parted(batches: int) -> Iterator[tuple[int, int]]:
    """Yield beginning and end of each part of so many batches, nearly equal ones."""
    parts = min(PARTS, batches)
    for i in range(parts):
        yield i * batches // parts, (i + 1) * batches // parts
