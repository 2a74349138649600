"""Facts that are run together while the weight of an edit site is trained, and what they cost.

Training a weight changes every position, and layers from the site's up. So what enters the site's
block is computed once, and each step runs the blocks from there on: rows that start at their first
token, see `goldenlayers.passes.replay`. A model that this does not suit is run whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from goldenlayers.editors.fact_rows import FactRows
from goldenlayers.editors.fact_value import UNSUITED, WHOLE_ROWS
from goldenlayers.editors.value import require_same
from goldenlayers.models.sites import EditSite
from goldenlayers.models.subject import SubjectRow
from goldenlayers.passes.growing import Change
from goldenlayers.passes.memory import ran_out
from goldenlayers.passes.replay import Group, Replay
from goldenlayers.passes.rows import Reads, padded
from goldenlayers.passes.whole_rows import changed_logits

FROM_SITE = "layers from the site's up"


class FactBatch:
    """Bare prompts of some facts with their new answers.

    Attributes:
        computed: What each run computes: "layers from the site's up", or "whole rows" and why.
    """

    def __init__(
        self,
        model: Any,
        site: EditSite,
        facts: Sequence[FactRows],
        *,
        prompt_end: bool,
        skip_below: bool,
    ):
        """Prepare the rows; the site must still be as it came.

        Args:
            model: The model, frozen and in evaluation mode.
            site: The edit site that is trained.
            facts: The facts.
            prompt_end: Whether all answer tokens are read at the prompt's last position, without
                the answer before them; else each at the position before it.
            skip_below: Whether to compute what lies below the site's block once alone.
        """
        fed: list[SubjectRow] = []
        where: list[tuple[int, int]] = []
        labels: list[int] = []
        for r, row in enumerate(rows.bare for rows in facts):
            n = len(row.answer)
            last = row.n_prompt - 1
            # nothing is predicted from an answer's last token
            ids = row.ids[: row.n_prompt] if prompt_end else row.ids[:-1]
            fed.append(SubjectRow(ids, len(ids), 0))
            where += [(r, last if prompt_end else last + i) for i in range(n)]
            labels += row.answer
        at = torch.tensor(where, device=model.device)  # (N, 2)
        self._model, self._site = model, site
        self._reads = Reads(at[:, 0], at[:, 1])
        self._ids = padded([row.ids for row in fed], model.device)  # (n, T)
        self._labels = torch.tensor(labels, device=model.device)  # (N,)
        self._sizes = [len(rows.bare.answer) for rows in facts]
        self._replay: Replay | None = None
        self.computed = WHOLE_ROWS
        if skip_below and site.layer > 0:
            try:
                self._replay = self._replayed(fed)
                self.computed = FROM_SITE
            except UNSUITED as error:
                if ran_out(error):
                    raise
                why = f"because skipping failed: {type(error).__name__} {error}"
                self.computed = f"{WHOLE_ROWS}, {why}"[:300]

    def losses(self, change: Change | None = None) -> Tensor:
        """Run the facts.

        Args:
            change: What becomes of the site's output; None takes the site's module as it stands.

        Returns:
            (n,) mean negative log-likelihood of each fact's answer tokens, nats, float32 or wider.
        """
        logits = self._logits(change)  # (N, V)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        labels = self._labels.to(wide.device)
        each = torch.nn.functional.cross_entropy(wide, labels, reduction="none")  # (N,)
        return torch.stack([part.mean() for part in each.split(self._sizes)])

    def _logits(self, change: Change | None) -> Tensor:
        changes = {} if change is None else {self._site.name: change}
        if self._replay is None:
            return changed_logits(self._model, self._site.name, self._ids, self._reads, change)
        group = Group(self._site.layer, self._replay.part(), changes)
        return self._replay.logits([group])[0]

    @torch.no_grad()
    def _replayed(self, fed: Sequence[SubjectRow]) -> Replay:
        """Return the rows ready to be run from the site's block on.

        Raises:
            MismatchError: If that gives other logits than the whole model, and whatever a model
                that it does not suit raises.
        """
        replay = Replay(self._model, [self._site], fed, self._reads)
        (found,) = replay.logits([Group(self._site.layer, replay.part(), {})])
        clean = replay.clean
        require_same(found, clean.logits)
        # not needed again, and it would be kept for every batch of facts
        replay.clean = replace(
            clean, keys=(), outputs=(), streams=(), inputs=(), logits=clean.logits[:0]
        )
        return replay
