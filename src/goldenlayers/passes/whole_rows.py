"""Rows run the plain way: every run computes all positions at all layers, one group by itself.

For a model that prefix reuse does not suit, and as what prefix reuse is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from goldenlayers.models.sites import EditSite
from goldenlayers.models.subject import SubjectRow
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.families import by_row, like
from goldenlayers.passes.rows import Reads, clean_pass, padded


class WholeRows:
    """The rows of one fact.

    Attributes:
        clean: What the first, clean pass saw.
    """

    def __init__(
        self, model: Any, sites: Sequence[EditSite], rows: Sequence[SubjectRow], reads: Reads
    ):
        self._model, self._reads = model, reads
        self._ids = padded([r.ids for r in rows], model.device)  # (R, T)
        self._at = torch.tensor([r.subject for r in rows], device=model.device)
        self.clean = clean_pass(model, sites, rows, reads, keep_cache=False)

    def logits(self, site: EditSite, delta: Tensor) -> Tensor:
        """Run the rows with `delta` (d_out,) added to the site at the subject's last token.

        Returns:
            (N, V) logits at the positions read.
        """
        R, T = self._ids.shape
        where = torch.nn.functional.one_hot(self._at, T).bool().unsqueeze(-1)  # (R, T, 1)

        def add(module: Any, args: Any, output: Tensor) -> Tensor:
            out = by_row(output, R)
            changed = torch.where(where.to(out.device), out + delta.to(out), out)
            return torch.as_tensor(like(changed, output))

        handle = self._model.get_submodule(site.name).register_forward_hook(add)
        try:
            with answer_logits(self._model, self._reads.rows, self._reads.columns) as gathered:
                output = self._model(input_ids=self._ids, use_cache=False)
                return gathered.pick(output.logits)
        finally:
            handle.remove()
