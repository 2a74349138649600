"""What a sweep is made of: pieces, each some facts edited at some layers in one run.

Numbers depend, in their last bits, on what is run together. So a piece is composed of all that is
wanted, whatever is in the store by now: a sweep that was stopped goes on with the pieces that an
undisturbed one would have made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from goldenlayers.facts.fact import Fact
from goldenlayers.progress import quiet
from goldenlayers.sweep.engine import Sweep
from goldenlayers.sweep.outcome import LayerOutcome


@dataclass(frozen=True)
class Piece:
    """Facts that are edited side by side, each at all of some layers.

    A piece is whole in the store or not at all, and may be made twice without harm.

    Attributes:
        facts: The facts.
        layers: The layers, each the last of its window.
        share: Of the work of everything that is wanted.
    """

    facts: tuple[Fact, ...]
    layers: tuple[int, ...]
    share: float

    @property
    def edits(self) -> int:
        """How many edits it is."""
        return len(self.facts) * len(self.layers)


def pieces_of(
    sweep: Sweep,
    facts: Sequence[Fact],
    layers: Sequence[int],
    done: Collection[tuple[str, int]],
    *,
    first_alone: bool = True,
) -> list[Piece]:
    """Part a sweep into pieces, and return those that are lacking, in their order.

    Args:
        sweep: How facts are edited.
        facts: The facts that are wanted.
        layers: The layers that are wanted of each.
        done: Identifier and layer of the edits that are there.
        first_alone: Whether one fact makes the first piece, to measure what it takes.
    """
    found = []
    wanted = bool(facts and layers)
    for block in sweep.blocks(facts, len(layers), first_alone=first_alone) if wanted else ():
        # of another call with fewer layers, some facts of the block may have some of them
        lacking: dict[tuple[int, ...], list[Fact]] = defaultdict(list)
        for fact in block.facts:
            missing = tuple(n for n in layers if (fact.id, n) not in done)
            if missing:
                lacking[missing].append(fact)
        whole = len(block.facts) * len(layers)
        for missing, group in lacking.items():
            edits = len(group) * len(missing)
            found.append(Piece(tuple(group), missing, block.share * edits / whole))
    return found


@dataclass(frozen=True)
class EditPiece:
    """The task of a sweep: a piece is edited; see `goldenlayers.cluster.engine.Task`.

    Attributes:
        sweep: How facts are edited; it travels without the model.
    """

    sweep: Sweep

    def __getstate__(self) -> dict[str, Any]:
        bound = self.sweep.room.tokens
        bare = replace(self.sweep, model=None, tokenizer=None, say=quiet, batch_tokens=bound)
        return {"sweep": bare}

    def __call__(self, model: Any, tokenizer: Any, item: Piece) -> list[LayerOutcome]:
        """Edit each fact of a piece at each of its layers."""
        if self.sweep.model is not model:
            # once on each worker, so that what once did not fit into its memory is not tried again
            own = replace(self.sweep, model=model, tokenizer=tokenizer)
            object.__setattr__(self, "sweep", own)
        return self.sweep.run(item.facts, item.layers)
