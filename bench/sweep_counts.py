"""The multiply-adds that a sweep of all layers must do, and those that the obvious loop does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from goldenlayers.editors.fact_rows import FactRows
from goldenlayers.metrics.baseline import FactBefore
from goldenlayers.metrics.predict import feed_of, picks_of
from goldenlayers.models.sites import EditSite
from goldenlayers.sweep.scoring import rows_of


@dataclass(frozen=True)
class Counts:
    """What the work on one fact is made of.

    Attributes:
        depth: Blocks of the model.
        block: Weights of a block's matrices.
        head: Weights of the output head.
        whole: Tokens of the fact's rows.
        tail: Those from the subject's last token on.
        padded: The same with the padding to the longest.
        bare: Tokens of the bare prompt's row.
        reads: Positions at which the rows are read.
        asked: Tokens of the probes' rows.
        picks: Positions at which those are read.
    """

    depth: int
    block: int
    head: int
    whole: int
    tail: int
    padded: int
    bare: int
    reads: int
    asked: int
    picks: int

    def ours(self, steps: dict[int, int], edited: Iterable[int]) -> tuple[int, int]:
        """Return the multiply-adds for the values and for the scoring, of all layers.

        Args:
            steps: Evaluations of the loss, by layer.
            edited: Layers with an update.
        """
        read, clean = self.reads * self.head, self.whole * self.block * self.depth
        values = clean + read
        for layer, n in steps.items():
            above = self.depth - layer - 1
            values += n * (self.tail * self.block * (above + 1) + read)
            values += (n - 1) * (self.tail * self.block * above + read)
        layers = self.depth + sum(self.depth - layer for layer in edited)
        passes = 1 + len(list(edited))
        return values, self.asked * self.block * layers + passes * self.picks * self.head

    def loop(self, layer: int, steps: int) -> int:
        """Return the multiply-adds of the obvious loop at a layer, for the value."""
        forward = ((steps + 1) * self.whole + self.bare) * (self.block * self.depth + self.head)
        above = self.block * (self.depth - layer - 1) + self.head
        return forward + (steps - 1) * self.whole * above

    def loop_scoring(self) -> int:
        """Return the multiply-adds of the obvious loop at a layer, for the scoring."""
        return self.asked * self.block * self.depth + self.picks * self.head


def asked_of(row: Any, before: FactBefore) -> list[Any]:
    return [row, *rows_of(before)]


def counts(case: Any, site: EditSite, depth: int, rows: FactRows, before: FactBefore) -> Counts:
    asked = asked_of(rows.bare, before)
    feed = feed_of(asked)
    tails = [len(row.ids) - row.subject for row in rows.fed]
    return Counts(
        depth=depth,
        block=sum(
            p.numel() for p in case.model.get_submodule(site.block).parameters() if p.dim() > 1
        ),
        head=case.model.get_output_embeddings().weight.numel(),
        whole=sum(len(row.ids) for row in rows.fed),
        tail=sum(tails),
        padded=len(tails) * max(tails),
        bare=len(rows.fed[0].ids),
        reads=len(rows.reads.rows),
        asked=sum(map(len, feed.fed)),
        picks=len(picks_of(list(zip(feed.host, asked, strict=True))).where),
    )
